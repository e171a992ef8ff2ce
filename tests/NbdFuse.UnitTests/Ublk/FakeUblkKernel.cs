using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;
using NbdFuse.Ublk;
using NbdFuse.UnitTests.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Ublk;

/// <summary>A served ublk queue with the kernel's end played by the test.</summary>
internal sealed class FakeUblkKernel : IDisposable
{
    public const int Size = 8 << 20;
    public const int Depth = 8;
    public const int TimeoutMs = 30_000;

    private readonly EventLoop _loop = new("ublk-test", new EventLoopOptions { SpinMicroseconds = 0 });
    private readonly UblkBuffers _buffers;

    public FakeUblkKernel(BlockDeviceInfo? info = null, UblkOptions? options = null, bool start = true, bool layers = false)
    {
        BlockDeviceInfo export = info ?? DefaultInfo;
        Device = new RecordingDevice(export);
        Geometry = UblkGeometry.Compute(export, options ?? new UblkOptions { Depth = Depth }, Depth + 1);
        var ready = new ReadyList();
        IBlockDevice stack = layers ? DeviceStack.Build(Device, ready, Depth + 1) : Device;
        Requests = new RequestQueue(stack, ready, new RequestQueueOptions { Capacity = Depth + 1 });
        _buffers = new UblkBuffers(Geometry.Depth, Geometry.Limits.PayloadBytes);
        Ring = new FakeUblkRing(Geometry.Depth);
        Queue = new UblkQueue(_loop, Requests, Geometry, _buffers, spin: false, NullLogger.Instance);
        _loop.Start();
        if (start)
        {
            Start();
        }
    }

    public static BlockDeviceInfo DefaultInfo => new()
    {
        Size = Size,
        CanFlush = true,
        CanFua = true,
        CanTrim = true,
        CanWriteZeroes = true,
    };

    public UblkGeometry Geometry { get; }

    public RecordingDevice Device { get; }

    public RequestQueue Requests { get; }

    public UblkQueue Queue { get; }

    public FakeUblkRing Ring { get; }

    public bool LoopEnded { get; set; }

    public nint ScrapAddress => _buffers.ScrapAddress();

    public void Start() => Assert.True(Queue.StartAsync(() => Ring).Wait(TimeoutMs), "the queue does not start");

    public void Dispose()
    {
        _loop.Dispose();
        Assert.True(LoopEnded || _loop.Failure is null, _loop.Failure?.ToString());
        _buffers.Dispose();
        if (!Ring.IsDisposed)
        {
            Ring.Dispose();
        }
    }

    public T OnLoop<T>(Func<T> function)
    {
        TaskCompletionSource<T> result = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Assert.True(_loop.Post(() => result.SetResult(function())));
        Assert.True(result.Task.Wait(TimeoutMs), "the loop does not answer");
        return result.Task.Result;
    }

    public void OnLoop(Action action) => OnLoop(() =>
    {
        action();
        return 0;
    });

    /// <summary>Ends after the turn of the loop that is under way, hooks included, and one more.</summary>
    public void Barrier()
    {
        OnLoop(() => { });
        OnLoop(() => { });
    }

    public FakeUblkCall Send(FakeUblkCall call)
    {
        OnLoop(() => Ring.Send(call));
        return call;
    }

    public FakeUblkCall Send(
        UblkIoOperation operation, long offset = 0, long length = 0, UblkIoFlags flags = UblkIoFlags.None, byte[]? data = null) =>
        Send(new FakeUblkCall(operation, offset, length, flags, data));

    public int Ask(UblkIoOperation operation, long offset = 0, long length = 0, UblkIoFlags flags = UblkIoFlags.None, byte[]? data = null) =>
        Send(operation, offset, length, flags, data).Wait();

    /// <summary>Waits until the device has been asked this often.</summary>
    public void WaitForHeld(int count) =>
        Assert.True(SpinWait.SpinUntil(() => OnLoop(() => Device.Held.Count) == count, TimeoutMs), $"{count} requests do not arrive");

    /// <summary>What the device has been asked so far.</summary>
    public (BlockOperation Operation, long Offset, long Length, BlockRequestFlags Flags)[] Log() => OnLoop(() => Device.Log.ToArray());

    /// <summary>Executes what the device holds, in a turn of its own.</summary>
    public void LetGo() => OnLoop(Device.LetGo);
}
