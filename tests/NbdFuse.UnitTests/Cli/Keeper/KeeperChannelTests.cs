using NbdFuse.Cli;
using NbdFuse.Native;
using Xunit;

namespace NbdFuse.UnitTests;

/// <summary>Messages between keeper and worker.</summary>
public sealed class KeeperChannelTests
{
    [Fact]
    public void Message_arrives_whole_with_its_descriptors()
    {
        (KeeperChannel left, KeeperChannel right) = Pair();
        using (left)
        using (right)
        {
            PosixException.Check(Posix.Pipe2(out int reader, out int writer), "make a pipe");
            using FileDescriptor input = FileDescriptor.Own(reader);
            using FileDescriptor output = FileDescriptor.Own(writer);
            byte[] body = [.. Enumerable.Range(0, 5000).Select(i => (byte)i)];
            Assert.Equal(0, left.Send(KeeperMessage.Mounted, body, [output.Value]));
            Assert.Equal(0, left.Send(KeeperMessage.Done));

            Assert.Equal(1, right.Receive(out KeeperMessage kind, out byte[] received, out FileDescriptor[] descriptors, wait: true));
            Assert.Equal(KeeperMessage.Mounted, kind);
            Assert.Equal(body, received);
            using FileDescriptor passed = Assert.Single(descriptors);
            Assert.Equal(1, Posix.GetCloseOnExec(passed.Value));
            Assert.Equal(1, Posix.Write(passed.Value, new byte[1]));
            Assert.Equal(1, Posix.Read(input.Value, new byte[8]));

            Assert.Equal(1, right.Receive(out kind, out received, out descriptors, wait: false));
            Assert.Equal(KeeperMessage.Done, kind);
            Assert.Empty(received);
            Assert.Empty(descriptors);
            Assert.Equal(-Errno.EAGAIN, right.Receive(out _, out _, out _, wait: false));
        }
    }

    [Fact]
    public void Messages_of_the_dead_are_still_read_before_the_end_is_seen()
    {
        (KeeperChannel left, KeeperChannel right) = Pair();
        using (right)
        {
            left.Send(KeeperMessage.Done);
            left.Dispose();
            Assert.Equal(1, right.Receive(out KeeperMessage kind, out _, out _, wait: false));
            Assert.Equal(KeeperMessage.Done, kind);
            Assert.Equal(0, right.Receive(out _, out _, out _, wait: false));
            Assert.True(right.Send(KeeperMessage.Go) < 0);
        }
    }

    [Fact]
    public void Message_that_would_not_fit_is_not_sent()
    {
        (KeeperChannel left, KeeperChannel right) = Pair();
        using (left)
        using (right)
        {
            Assert.Equal(-Errno.EMSGSIZE, left.Send(KeeperMessage.Notify, new byte[KeeperChannel.MaximumMessage]));
            Assert.Equal(-Errno.EAGAIN, right.Receive(out _, out _, out _, wait: false));
        }
    }

    private static (KeeperChannel Left, KeeperChannel Right) Pair()
    {
        PosixException.Check(
            Posix.SocketPair(SocketConstants.AF_UNIX, SocketConstants.SOCK_SEQPACKET | SocketConstants.SOCK_CLOEXEC, out int left, out int right),
            "make a socket pair");
        return (new KeeperChannel(FileDescriptor.Own(left)), new KeeperChannel(FileDescriptor.Own(right)));
    }
}
