using NbdFuse.Fuse;
using NbdFuse.Native;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

public sealed class FuseMountTests
{
    // Nobody else gets numbers from here on, so that a number that is free stays free.
    private const int OwnNumbers = 900;

    [Fact]
    public void Connection_that_is_cut_off_ends_though_its_descriptor_stays()
    {
        (FileDescriptor device, FileDescriptor kernel) = Pair();
        using FileDescriptor end = kernel;
        using FuseMount mount = Mount(device);

        mount.CutOff();

        Assert.Equal(0, Posix.Recv(kernel.Value, new byte[1]));
        Assert.False(mount.Device.IsClosed);
    }

    [Fact]
    public void Cutting_off_after_the_disposal_leaves_the_next_user_of_the_number_alone()
    {
        (FileDescriptor device, FileDescriptor kernel) = Pair();
        kernel.Dispose();
        int number = device.Value;
        FuseMount mount = Mount(device);
        mount.Dispose();
        (FileDescriptor stranger, FileDescriptor peer) = Pair();
        using FileDescriptor mine = stranger;
        using FileDescriptor theirs = peer;
        Assert.Equal(number, stranger.Value);

        mount.CutOff();

        Assert.Equal(1, Posix.Send(stranger.Value, [7]));
        Assert.Equal(1, Posix.Recv(peer.Value, new byte[1]));
    }

    private static FuseMount Mount(FileDescriptor device) => new(new MountTarget("/nowhere", null), device, keeper: null, byHelper: false);

    private static (FileDescriptor Device, FileDescriptor Kernel) Pair()
    {
        PosixException.Check(
            Posix.SocketPair(SocketConstants.AF_UNIX, SocketConstants.SOCK_STREAM | SocketConstants.SOCK_CLOEXEC, out int low, out int kernel),
            "make a socket pair");
        using FileDescriptor replaced = FileDescriptor.Own(low);
        return (FileDescriptor.OwnOrThrow(Posix.DupAbove(low, OwnNumbers), "duplicate"), FileDescriptor.Own(kernel));
    }
}
