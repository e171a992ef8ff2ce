using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;
using NbdFuse.TestKit;
using NbdFuse.Ublk;
using Xunit;

namespace NbdFuse.UnitTests.Ublk;

/// <summary>Starts that fail on the way: nothing of the device may be left in the kernel.</summary>
public sealed class UblkStartTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly EventLoop _loop = new("ublk-start", new EventLoopOptions { SpinMicroseconds = 0 });
    private readonly RequestQueue _queue;

    public UblkStartTests()
    {
        _queue = new RequestQueue(new MemoryBlockDevice(1 << 20), new ReadyList(), new RequestQueueOptions { Capacity = 9 });
        _loop.Start();
    }

    public void Dispose()
    {
        _loop.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task Device_that_the_kernel_does_not_add_is_not_removed()
    {
        FakeUblkControl kernel = new();
        kernel.Results(UblkConstants.AddDevice, -Errno.EPERM);

        UblkException error = await Assert.ThrowsAsync<UblkException>(() => StartAsync(kernel));

        Assert.Contains("CAP_SYS_ADMIN", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, kernel.Count(UblkConstants.StopDevice));
        Assert.Equal(0, kernel.Count(UblkConstants.DeleteDeviceAsync));
    }

    [Fact]
    public async Task Device_whose_parameters_are_refused_is_removed()
    {
        FakeUblkControl kernel = new();
        kernel.Results(UblkConstants.SetParams, -Errno.EINVAL);

        UblkException error = await Assert.ThrowsAsync<UblkException>(() => StartAsync(kernel));

        Assert.Equal(Errno.EINVAL, error.Errno);
        AssertRemoved(kernel);
    }

    [Fact]
    public async Task Device_without_a_node_is_removed()
    {
        FakeUblkControl kernel = new();

        UblkException error = await Assert.ThrowsAsync<UblkException>(() => StartAsync(kernel));

        Assert.Equal(Errno.ENOENT, error.Errno);
        Assert.Equal(0, kernel.Count(UblkConstants.StartDevice));
        AssertRemoved(kernel);
    }

    [Fact]
    public async Task Device_whose_node_is_no_ublk_device_is_removed()
    {
        // It can be opened, and takes no commands.
        File.WriteAllText(Path.Combine(_directory.Path, "ublkc5"), string.Empty);
        FakeUblkControl kernel = new();

        UblkException error = await Assert.ThrowsAsync<UblkException>(() => StartAsync(kernel));

        Assert.Contains("/ublkb5: ", error.Message, StringComparison.Ordinal);
        AssertRemoved(kernel);
    }

    [Fact]
    public async Task Start_that_is_given_up_removes_the_device()
    {
        FakeUblkControl kernel = new();
        using CancellationTokenSource cancellation = new();
        await cancellation.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => StartAsync(kernel, 30_000, cancellation.Token));

        AssertRemoved(kernel);
    }

    private static void AssertRemoved(FakeUblkControl kernel)
    {
        uint[] last = [.. kernel.Commands.Select(command => command.Operation).Where(operation => operation is UblkConstants.StopDevice or UblkConstants.DeleteDeviceAsync)];
        Assert.Equal([UblkConstants.StopDevice, UblkConstants.DeleteDeviceAsync], last);
        Assert.Equal(5u, kernel.Commands[^1].Command.DeviceId);
    }

    private async Task StartAsync(FakeUblkControl kernel, int timeoutMs = 0, CancellationToken cancellation = default)
    {
        // As after a deletion.
        kernel.Results(UblkConstants.GetDeviceInfo, -Errno.ENODEV);
        var options = new UblkOptions { DeviceDirectory = _directory.Path, RecoveryTimeoutMs = timeoutMs, Depth = 8 };
        UblkGeometry geometry = UblkGeometry.Compute(_queue.Info, options, _queue.Capacity);
        await UblkDevice.StartAsync(
            new UblkControl(kernel.Execute), _loop, _queue, geometry, options, NullLogger.Instance, cancellation);
    }
}
