using System.Net;
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
    public async Task A_tcp_socket_notices_a_dead_peer_as_those_that_we_connect_do()
    {
        using Listener listener = Listener.Tcp(IPAddress.Loopback);
        await using NbdTransport connects = NbdTransport.Create(new TcpTarget("127.0.0.1", listener.Port));
        FileDescriptor socket = await connects.ConnectAsync();
        int fd = socket.Value;
        PosixException.Check(Posix.SetSockOpt(fd, SocketConstants.SOL_SOCKET, SocketConstants.SO_KEEPALIVE, 0), "keepalive off");
        int inherited = Posix.Dup(fd);
        socket.Dispose();
        await using NbdTransport transport = NbdTransport.Create(new DescriptorTarget(inherited));
        using FileDescriptor owned = await transport.ConnectAsync();
        Assert.Equal(0, Posix.GetSockOptInt(inherited, SocketConstants.SOL_SOCKET, SocketConstants.SO_KEEPALIVE, out int keepAlive));
        Assert.Equal(1, keepAlive);
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
