using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.UnitTests.Client.Handshake;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transports;

public sealed class DescriptorTransportTests
{
    [Fact]
    public async Task An_inherited_socket_is_negotiated_on_and_owned()
    {
        NegotiatedSocket connection = await HandshakeRun.RunAsync(
            async socket =>
            {
                int fd = socket.Detach();
                PosixException.Check(Posix.SetNonBlocking(fd, enable: false), "make the socket blocking");
                PosixException.Check(Posix.SetCloseOnExec(fd, enable: false), "make the socket inheritable");
                await using NbdTransport transport = NbdTransport.Create(new DescriptorTarget(fd));
                NegotiatedSocket opened = await transport.OpenAsync(new NbdHandshakeOptions());
                Assert.Equal(fd, opened.Socket.Value);
                Assert.Equal(1, Posix.GetCloseOnExec(fd));
                Assert.Equal(-Errno.EAGAIN, Posix.Recv(fd, new byte[1]));
                opened.Socket.Dispose();
                return opened;
            },
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.Go);
                peer.InfoExport();
                peer.Ack();
                peer.ExpectEnd();
            });
        Assert.Equal(1ul << 20, connection.Negotiated.Export.Size);
    }

    [Fact]
    public async Task A_descriptor_gives_one_connection_only()
    {
        using ScriptedPeer peer = ScriptedPeer.Create(out FileDescriptor socket);
        await using NbdTransport transport = NbdTransport.Create(new DescriptorTarget(socket.Detach()));
        using FileDescriptor first = await transport.ConnectAsync();
        NbdConnectException error = await Assert.ThrowsAsync<NbdConnectException>(() => transport.ConnectAsync());
        Assert.Equal(NbdConnectFailure.CannotReopen, error.Reason);
    }

    [Fact]
    public async Task What_is_no_connected_stream_socket_is_refused_and_left_alone()
    {
        PosixException.Check(Posix.Pipe2(out int reader, out int writer), "pipe");
        using FileDescriptor pipe = FileDescriptor.Own(reader);
        using FileDescriptor other = FileDescriptor.Own(writer);
        using FileDescriptor unconnected = FileDescriptor.OwnOrThrow(
            Posix.Socket(SocketConstants.AF_UNIX, SocketConstants.SOCK_STREAM), "socket");
        using FileDescriptor datagrams = FileDescriptor.OwnOrThrow(
            Posix.Socket(SocketConstants.AF_UNIX, SocketConstants.SOCK_DGRAM), "socket");
        foreach (int fd in (int[])[-1, 1_000_000, pipe.Value, unconnected.Value, datagrams.Value])
        {
            await using NbdTransport transport = NbdTransport.Create(new DescriptorTarget(fd));
            NbdConnectException error = await Assert.ThrowsAsync<NbdConnectException>(() => transport.ConnectAsync());
            Assert.Equal(NbdConnectFailure.BadDescriptor, error.Reason);
            Assert.Contains($"file descriptor {fd} ", error.Message, StringComparison.Ordinal);
        }

        Assert.True(Posix.GetCloseOnExec(pipe.Value) >= 0);
    }
}
