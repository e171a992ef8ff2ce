using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Block;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

/// <summary>The kernel's end of a FUSE session, over a packet socket that stands in for /dev/fuse.</summary>
internal sealed class FakeKernel : IDisposable
{
    public const int Size = 64 * 1024;
    public const ulong Root = 1;
    public const int TimeoutMs = 30_000;

    /// <summary>What Linux 6.18 offers.</summary>
    public const ulong AllOffered = 0x5fd_73fffffb;

    private readonly FileDescriptor _kernel;
    private readonly FileDescriptor _device;
    private readonly EventLoop _loop = new("fuse-test");
    private readonly FuseBuffers _buffers;
    private readonly byte[] _message = new byte[256 * 1024];
    private ulong _unique = 2;

    public FakeKernel(
        FuseSessionOptions? options = null, BlockDeviceInfo? info = null, int capacity = 16, bool initialise = true, long bytes = 32L << 20,
        FuseBuffers? buffers = null)
    {
        PosixException.Check(
            Posix.SocketPair(
                SocketConstants.AF_UNIX,
                SocketConstants.SOCK_SEQPACKET | SocketConstants.SOCK_NONBLOCK | SocketConstants.SOCK_CLOEXEC,
                out int kernel,
                out int device),
            "socketpair");
        _kernel = FileDescriptor.Own(kernel);
        _device = FileDescriptor.Own(device);
        Device = new RecordingDevice(info ?? DefaultInfo);
        Queue = new RequestQueue(Device, new ReadyList(), new RequestQueueOptions { Capacity = capacity, Bytes = bytes });
        _buffers = buffers ?? new FuseBuffers(capacity + FuseSession.SpareBuffers);
        Session = new FuseSession(_loop, _device, Queue, _buffers, options ?? new FuseSessionOptions(), NullLogger.Instance);
        _loop.Start();
        Session.Start();
        if (initialise)
        {
            Init(7, 45, AllOffered);
            Receive();
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

    public FuseSession Session { get; }

    public RequestQueue Queue { get; }

    public RecordingDevice Device { get; }

    public FuseBuffers Buffers => _buffers;

    /// <summary>How many are free of those that the queue's slots use.</summary>
    public int FreeBuffers => OnLoop(() => _buffers.Free) - FuseSession.SpareBuffers;

    /// <summary>Sends reads until nothing more is read, and one more.</summary>
    /// <returns>Their numbers, that of the last one left in the kernel included.</returns>
    public List<ulong> FillBeyondSpares()
    {
        List<ulong> reads = [];
        for (int i = 0; i < Queue.Capacity + FuseSession.SpareBuffers; i++)
        {
            reads.Add(SendRead(i * 512, 512));
        }

        Assert.True(SpinWait.SpinUntil(() => FreeBuffers == 1 - FuseSession.SpareBuffers, TimeoutMs), "the queue does not fill");
        return reads;
    }

    public void Dispose()
    {
        _loop.Dispose();
        _kernel.Dispose();
        _device.Dispose();
        _buffers.Dispose();
    }

    public void Hangup() => _kernel.Dispose();

    public T OnLoop<T>(Func<T> function)
    {
        if (_loop.IsLoopThread)
        {
            return function();
        }

        TaskCompletionSource<T> result = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(() => result.SetResult(function()));
        Assert.True(result.Task.Wait(TimeoutMs), "the loop does not answer");
        return result.Task.Result;
    }

    public void OnLoop(Action action) => OnLoop(() =>
    {
        action();
        return 0;
    });

    /// <summary>What the device has been asked so far.</summary>
    public (BlockOperation Operation, long Offset, long Length, BlockRequestFlags Flags)[] Log() => OnLoop(() => Device.Log.ToArray());

    public ulong Init(uint major, uint minor, ulong offered)
    {
        byte[] body = new byte[minor >= 36 ? 64 : 16];
        BinaryPrimitives.WriteUInt32LittleEndian(body, major);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(4), minor);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(8), 131072);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(12), (uint)offered);
        if (body.Length > 16)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(16), (uint)(offered >> 32));
        }

        return Send(FuseOpcode.Init, body, node: 0);
    }

    public ulong Send(FuseOpcode opcode, ReadOnlySpan<byte> body, ulong node = Root, uint uid = 0, uint? length = null, ulong? unique = null)
    {
        ulong number = unique ?? _unique;
        _unique += unique is null ? 2u : 0u;
        FuseInHeader header = new()
        {
            Length = length ?? (uint)(40 + body.Length),
            Opcode = opcode,
            Unique = number,
            NodeId = node,
            Uid = uid,
            Pid = 1,
        };
        byte[] message = new byte[40 + body.Length];
        MemoryMarshal.Write(message, in header);
        body.CopyTo(message.AsSpan(40));
        SendRaw(message);
        return number;
    }

    public void SendRaw(ReadOnlySpan<byte> message)
    {
        int result;
        while ((result = Posix.Write(_kernel.Value, message)) == -Errno.EAGAIN)
        {
            Posix.Poll(_kernel.Value, PollEvents.Out, TimeoutMs);
        }

        Assert.Equal(message.Length, result);
    }

    public ulong Send<T>(FuseOpcode opcode, in T body, ulong node = Root, uint uid = 0)
        where T : unmanaged
    {
        byte[] bytes = new byte[Unsafe.SizeOf<T>()];
        MemoryMarshal.Write(bytes, in body);
        return Send(opcode, bytes, node, uid);
    }

    public (ulong Unique, int Error, byte[] Body) Receive()
    {
        Assert.Equal(1, Posix.Poll(_kernel.Value, PollEvents.In, TimeoutMs));
        int length = Posix.Read(_kernel.Value, _message);
        Assert.True(length >= 16, "an answer has a header");
        FuseOutHeader header = MemoryMarshal.Read<FuseOutHeader>(_message);
        Assert.Equal((uint)length, header.Length);
        return (header.Unique, -header.Error, _message.AsSpan(16, length - 16).ToArray());
    }

    /// <summary>The answer to one request, with nothing else answered before it.</summary>
    public (int Error, byte[] Body) Answer(ulong unique)
    {
        (ulong answered, int error, byte[] body) = Receive();
        Assert.Equal(unique, answered);
        return (error, body);
    }

    public (int Error, byte[] Body) Ask<T>(FuseOpcode opcode, in T body, ulong node = Root, uint uid = 0)
        where T : unmanaged => Answer(Send(opcode, body, node, uid));

    /// <summary>Proves that nothing was answered before, and that the session still serves.</summary>
    public void Barrier() => Assert.Equal(0, Answer(Send(FuseOpcode.Getattr, new FuseGetattrIn())).Error);

    public ulong SendRead(long offset, int size) =>
        Send(FuseOpcode.Read, new FuseReadIn { Offset = (ulong)offset, Size = (uint)size });

    public ulong SendWrite(long offset, ReadOnlySpan<byte> data, ulong handle = 1, uint flags = 1)
    {
        byte[] body = new byte[40 + data.Length];
        FuseWriteIn write = new() { Handle = handle, Offset = (ulong)offset, Size = (uint)data.Length, Flags = flags };
        MemoryMarshal.Write(body, in write);
        data.CopyTo(body.AsSpan(40));
        return Send(FuseOpcode.Write, body);
    }

    public static byte[] Pattern(int length, int seed)
    {
        byte[] data = new byte[length];
        new Random(seed).NextBytes(data);
        return data;
    }
}
