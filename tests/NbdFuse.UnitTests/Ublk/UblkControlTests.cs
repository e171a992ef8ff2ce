using NbdFuse.Native;
using NbdFuse.Native.Ublk;
using NbdFuse.TestKit;
using NbdFuse.Ublk;
using Xunit;

namespace NbdFuse.UnitTests.Ublk;

public sealed class UblkControlTests
{
    [Fact]
    public void Present_kernels_are_asked_by_encoded_numbers()
    {
        FakeUblkControl kernel = new();
        using UblkControl control = new(kernel.Execute);
        UblkDeviceInfo info = new() { DeviceId = uint.MaxValue, Depth = 8 };

        Assert.Equal(0, control.Add(ref info));
        Assert.Equal(0, control.Start(info.DeviceId, 42, CancellationToken.None));

        Assert.False(control.UsesLegacy);
        Assert.Equal((5u, 8), (info.DeviceId, (int)info.Depth));
        Assert.Equal([UblkConstants.GetFeatures, UblkConstants.AddDevice, UblkConstants.StartDevice], kernel.Commands.Select(c => c.Operation));
        UblkControlCommand start = kernel.Commands[2].Command;
        Assert.Equal((5u, ushort.MaxValue, 42UL), (start.DeviceId, start.QueueId, start.Data));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Size_is_changed_where_the_kernel_says_that_it_can(bool can)
    {
        FakeUblkControl kernel = new() { Granted = UblkFeatures.IoctlEncoding | (can ? UblkFeatures.UpdateSize : 0) };
        using UblkControl control = new(kernel.Execute);
        Assert.Equal(can ? 0 : -Errno.EOPNOTSUPP, control.UpdateSize(5, 4096));
        Assert.Equal(can ? 1 : 0, kernel.Commands.Count(c => c is { Operation: UblkConstants.UpdateSize, Command: { DeviceId: 5, Data: 4096 } }));
    }

    [Fact]
    public void Old_kernels_are_asked_by_their_own_numbers()
    {
        FakeUblkControl kernel = new() { KnowsOnlyLegacy = true, Granted = UblkFeatures.None };
        using UblkControl control = new(kernel.Execute);
        UblkDeviceInfo info = new() { DeviceId = uint.MaxValue };

        Assert.Equal(0, control.Add(ref info));
        Assert.Equal(0, control.Stop(info.DeviceId));

        Assert.True(control.UsesLegacy);
        Assert.Equal([UblkConstants.GetFeatures, 0x04u, 0x07u], kernel.Commands.Select(c => c.Operation));
    }

    [Fact]
    public void Kernels_that_know_the_encoding_and_not_the_question_are_found_out_by_the_device()
    {
        // 6.4: the old number is taken, and the device tells that it knows the new ones.
        FakeUblkControl kernel = new() { KnowsFeatures = false };
        using UblkControl control = new(kernel.Execute);
        UblkDeviceInfo info = new() { DeviceId = 2 };

        Assert.Equal(0, control.Add(ref info));

        Assert.False(control.UsesLegacy);
        Assert.Equal(0x04u, kernel.Commands[1].Operation);
    }

    [Fact]
    public void Kernels_without_the_old_numbers_are_asked_again_by_the_encoded_ones()
    {
        FakeUblkControl kernel = new() { KnowsFeatures = false, KnowsOnlyEncoded = true };
        using UblkControl control = new(kernel.Execute);
        UblkDeviceInfo info = new() { DeviceId = 2 };

        Assert.Equal(0, control.Add(ref info));
        Assert.Equal(2u, info.DeviceId);
        Assert.False(control.UsesLegacy);

        using UblkControl other = new(kernel.Execute);
        Assert.Equal(0, other.GetInfo(2, out _));
        Assert.False(other.UsesLegacy);
    }

    [Fact]
    public void Refused_device_leaves_what_was_asked_for()
    {
        FakeUblkControl kernel = new();
        kernel.Results(UblkConstants.AddDevice, -Errno.EEXIST);
        using UblkControl control = new(kernel.Execute);
        UblkDeviceInfo info = new() { DeviceId = 2, Depth = 8 };

        Assert.Equal(-Errno.EEXIST, control.Add(ref info));
        Assert.Equal((2u, 8), (info.DeviceId, (int)info.Depth));
    }

    [Theory]
    [InlineData(-Errno.EINTR)]
    [InlineData(-Errno.EAGAIN)]
    public void Interrupted_command_is_repeated(int error)
    {
        FakeUblkControl kernel = new();
        kernel.Results(UblkConstants.StartDevice, error, error, 0);
        using UblkControl control = new(kernel.Execute);

        Assert.Equal(0, control.Start(1, 42, CancellationToken.None));
        Assert.Equal(3, kernel.Count(UblkConstants.StartDevice));
    }

    [Fact]
    public void Interrupted_command_that_was_given_up_is_not_repeated()
    {
        FakeUblkControl kernel = new();
        kernel.Results(UblkConstants.StartDevice, -Errno.EINTR);
        using UblkControl control = new(kernel.Execute);

        Assert.Equal(-Errno.EINTR, control.Start(1, 42, new CancellationToken(canceled: true)));
        Assert.Equal(1, kernel.Count(UblkConstants.StartDevice));
    }

    [Fact]
    public void Deletion_of_what_is_gone_is_a_success()
    {
        FakeUblkControl kernel = new();
        kernel.Results(UblkConstants.DeleteDeviceAsync, -Errno.ENODEV);
        using UblkControl control = new(kernel.Execute);
        Assert.Equal(0, control.Delete(1));
    }

    [Fact]
    public void Deletion_ends_when_the_number_is_free()
    {
        FakeUblkControl kernel = new();
        kernel.Results(UblkConstants.GetDeviceInfo, 0, 0, -Errno.ENODEV);
        using UblkControl control = new(kernel.Execute);
        Assert.Equal(0, control.Delete(1));
        Assert.Equal(3, kernel.Count(UblkConstants.GetDeviceInfo));
        Assert.Equal(0, kernel.Count(UblkConstants.DeleteDevice));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-Errno.EINTR)]
    public void Kernels_that_wait_at_deletion_are_not_waited_for_without_end(int result)
    {
        FakeUblkControl kernel = new();
        kernel.Results(UblkConstants.DeleteDeviceAsync, -Errno.EOPNOTSUPP);
        kernel.Results(UblkConstants.DeleteDevice, result);
        using UblkControl control = new(kernel.Execute);
        Assert.Equal(0, control.Delete(1));
        Assert.Equal(1, kernel.Count(UblkConstants.DeleteDevice));
    }

    [Fact]
    public void Missing_module_is_told_with_its_remedy()
    {
        using TempDirectory directory = new();
        UblkException error = Assert.Throws<UblkException>(() => UblkDevice.CheckAvailable(directory.Path));
        Assert.Contains("modprobe ublk_drv", error.Message, StringComparison.Ordinal);
        Assert.Contains("--driver fuse", error.Message, StringComparison.Ordinal);
        Assert.Equal(Errno.ENOENT, error.Errno);
    }

    [Theory]
    [InlineData(Errno.ENODEV, null, "modprobe ublk_drv")]
    [InlineData(Errno.ENXIO, null, "modprobe ublk_drv")]
    [InlineData(Errno.EACCES, null, "root")]
    [InlineData(Errno.EPERM, null, "root")]
    public void Control_node_that_cannot_be_opened_says_what_to_do(int error, string? unused, string word)
    {
        Assert.Null(unused);
        Assert.Contains(word, UblkErrors.Control("/dev/ublk-control", error).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Errno.EPERM, "2", "kernel.io_uring_disabled = 2")]
    [InlineData(Errno.EPERM, "1", "sysctl kernel.io_uring_disabled=0")]
    [InlineData(Errno.EPERM, "0", "seccomp")]
    [InlineData(Errno.EPERM, null, "seccomp")]
    [InlineData(Errno.ENOSYS, null, "no io_uring")]
    [InlineData(Errno.EINVAL, "0", "too old")]
    [InlineData(Errno.ENOMEM, "0", "ulimit")]
    public void Missing_io_uring_says_why_and_what_to_do(int error, string? setting, string word)
    {
        UblkException exception = UblkErrors.IoUring(error, setting);
        Assert.Contains(word, exception.Message, StringComparison.Ordinal);
        Assert.Equal(error, exception.Errno);
    }

    [Theory]
    [InlineData(Errno.EPERM, "CAP_SYS_ADMIN")]
    [InlineData(Errno.EEXIST, "exists already")]
    [InlineData(Errno.ENODEV, "no such ublk device")]
    [InlineData(Errno.EOPNOTSUPP, "--driver fuse")]
    public void Refused_command_says_what_to_do(int error, string word)
    {
        UblkException exception = UblkErrors.Command("cannot be started", 4, -error);
        Assert.Contains(word, exception.Message, StringComparison.Ordinal);
        Assert.StartsWith("/dev/ublkb4: cannot be started", exception.Message, StringComparison.Ordinal);
    }
}
