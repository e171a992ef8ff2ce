using System.Net;
using NbdFuse.Native;
using Xunit;

namespace NbdFuse.UnitTests.Native;

public sealed class PosixSocketTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("nbdfuse-sock-");
    private readonly List<FileDescriptor> _open = [];

    public void Dispose()
    {
        _open.ForEach(descriptor => descriptor.Dispose());
        _folder.Delete(recursive: true);
    }

    [Fact]
    public void Tcp_round_trips_and_options_hold()
    {
        byte[] any = SocketAddresses.ForIPv4(IPAddress.Loopback, 0);
        (int client, int server) = Connect(SocketConstants.AF_INET, any);
        Exchange(client, server);

        Assert.Equal(0, Posix.SetSockOpt(client, SocketConstants.IPPROTO_TCP, SocketConstants.TCP_NODELAY, 1));
        Assert.Equal(0, Posix.GetSockOptInt(client, SocketConstants.IPPROTO_TCP, SocketConstants.TCP_NODELAY, out int noDelay));
        Assert.NotEqual(0, noDelay);
        Assert.Equal(0, Posix.SetSockOpt(client, SocketConstants.IPPROTO_TCP, SocketConstants.TCP_USER_TIMEOUT, 12345));
        Assert.Equal(0, Posix.GetSockOptInt(client, SocketConstants.IPPROTO_TCP, SocketConstants.TCP_USER_TIMEOUT, out int timeout));
        Assert.Equal(12345, timeout);

        // A reset, not an end: nothing unsent may arrive later.
        Assert.Equal(0, Posix.SetLingerZero(client));
        _open.Single(descriptor => descriptor.Value == client).Dispose();
        Assert.Equal(-Errno.ECONNRESET, Posix.Recv(server, new byte[1]));
    }

    [Fact]
    public void A_refused_connection_reports_why()
    {
        int listener = Own(Posix.Socket(SocketConstants.AF_INET, SocketConstants.SOCK_STREAM));
        Posix.Bind(listener, SocketAddresses.ForIPv4(IPAddress.Loopback, 0));
        Posix.GetSockName(listener, out byte[] address);
        // Bound and not listening: nobody else gets the port, and connecting is refused.
        int client = Own(Posix.Socket(SocketConstants.AF_INET, SocketConstants.SOCK_STREAM | SocketConstants.SOCK_NONBLOCK));
        int result = Posix.Connect(client, address);
        if (result == -Errno.EINPROGRESS)
        {
            Posix.Poll(client, PollEvents.Out, 30_000);
            result = Posix.GetSocketError(client);
        }

        Assert.Equal(-Errno.ECONNREFUSED, result);
        Assert.Equal(0, Posix.GetSocketError(Own(Posix.Socket(SocketConstants.AF_INET, SocketConstants.SOCK_STREAM))));
    }

    [Fact]
    public void Unix_sockets_round_trip_by_path_and_by_abstract_name()
    {
        (int client, int server) = Connect(SocketConstants.AF_UNIX, SocketAddresses.ForUnix(Path.Combine(_folder.FullName, "s")));
        Exchange(client, server);
        (client, server) = Connect(SocketConstants.AF_UNIX, SocketAddresses.ForUnix($"\0{_folder.FullName}"));
        Exchange(client, server);
        Assert.Equal(0, Posix.GetPeerCredentials(server, out int pid, out uint uid, out uint gid));
        Assert.Equal((Posix.GetPid(), Posix.GetEuid(), Posix.GetEgid()), (pid, uid, gid));
    }

    [Fact]
    public void Unix_paths_have_a_limit_with_a_clear_message()
    {
        Assert.Equal(110, SocketAddresses.ForUnix(new string('a', 107)).Length);
        ArgumentException error = Assert.Throws<ArgumentException>(() => SocketAddresses.ForUnix(new string('a', 108)));
        Assert.Contains("107 bytes, this one has 108", error.Message);
        Assert.Throws<ArgumentException>(() => SocketAddresses.ForUnix(string.Empty));
        Assert.Throws<ArgumentException>(() => SocketAddresses.ForUnix("a\0b"));
    }

    [Fact]
    public void Addresses_have_the_layout_of_the_headers()
    {
        Assert.Equal(
            new byte[] { 2, 0, 0x2A, 0x39, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0 },
            SocketAddresses.ForIPv4(IPAddress.Parse("192.0.2.1"), 10809));
        byte[] six = SocketAddresses.ForIPv6(IPAddress.Parse("fe80::1%7"), 10809);
        Assert.Equal("0A002A3900000000FE80000000000000000000000000000107000000", Convert.ToHexString(six));
        Assert.Equal(10809, SocketAddresses.GetPort(six));
        byte[] vsock = SocketAddresses.ForVsock(2, 10809);
        Assert.Equal("28000000392A00000200000000000000", Convert.ToHexString(vsock));
        Assert.Equal(10809, SocketAddresses.GetPort(vsock));
        Assert.Throws<ArgumentException>(() => SocketAddresses.ForIPv4(IPAddress.IPv6Loopback, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => SocketAddresses.ForIPv4(IPAddress.Loopback, 65536));
    }

    [Fact]
    public void Sending_to_a_closed_peer_is_an_error_and_not_a_signal()
    {
        (int first, int second) = Pair();
        _open.Single(descriptor => descriptor.Value == second).Dispose();
        Assert.Equal(-Errno.EPIPE, Posix.Send(first, "x"u8));
        using NativeBuffer buffer = NativeBuffer.Allocate(1);
        using IoVectorList vectors = new(1);
        vectors.Add(buffer.Span);
        Assert.Equal(-Errno.EPIPE, Posix.SendMsg(first, vectors));
        Assert.Equal(0, Posix.Recv(first, new byte[1]));
    }

    [Fact]
    public void Descriptors_travel_over_a_unix_socket_close_on_exec()
    {
        (int first, int second) = Pair();
        PosixException.Check(Posix.Pipe2(out int reader, out int writer), "pipe");
        Own(reader);
        Own(writer);
        Assert.Equal(1, Posix.SendWithFds(first, "f"u8, [reader, writer]));
        byte[] data = new byte[4];
        int[] fds = new int[3];
        Assert.Equal(1, Posix.RecvWithFds(second, data, fds, out int count));
        Assert.Equal(2, count);
        Assert.Equal((byte)'f', data[0]);
        int receivedReader = Own(fds[0]);
        int receivedWriter = Own(fds[1]);
        Assert.Equal(1, Posix.GetCloseOnExec(receivedReader));
        Assert.Equal(2, Posix.Write(receivedWriter, "hi"u8));
        Assert.Equal(2, Posix.Read(reader, data));

        Assert.Equal(1, Posix.SendWithFds(first, "n"u8, []));
        Assert.Equal(1, Posix.RecvWithFds(second, data, fds, out count));
        Assert.Equal(0, count);
        Assert.Equal(-Errno.EINVAL, Posix.SendWithFds(first, [], [reader]));
    }

    [Fact]
    public void More_descriptors_than_expected_are_closed_and_reported()
    {
        (int first, int second) = Pair();
        PosixException.Check(Posix.Pipe2(out int reader, out int writer), "pipe");
        Own(writer);
        Assert.Equal(1, Posix.SendWithFds(first, "f"u8, [reader, reader, reader]));
        Posix.Close(reader);
        Assert.Equal(-Errno.EMSGSIZE, Posix.RecvWithFds(second, new byte[1], new int[1], out int count));
        Assert.Equal(0, count);
        // No copy of the reading end is left anywhere: the pipe is broken.
        Assert.NotEqual(0, Posix.Poll(writer, PollEvents.Out, 0) & (int)PollEvents.Err);
    }

    [Fact]
    public void Partial_sends_advance_to_the_exact_byte()
    {
        (int first, int second) = Pair(SocketConstants.SOCK_NONBLOCK);
        const int Length = 4 * 1024 * 1024;
        using NativeBuffer source = NativeBuffer.Allocate(Length);
        using NativeBuffer target = NativeBuffer.Allocate(Length);
        new Random(42).NextBytes(source.Span);
        using IoVectorList vectors = new(64);
        using MemoryStream expected = new();
        // Odd pieces, back to front, so that no two are joined.
        for (int i = 63; i >= 0; i--)
        {
            Span<byte> piece = source.Span.Slice(i * 65536, 65536 - (i % 7) - 1);
            vectors.Add(piece);
            expected.Write(piece);
        }

        Assert.True(vectors.IsFull);
        Assert.Equal(expected.Length, vectors.TotalBytes);
        int received = 0;
        int partial = 0;
        while (received < expected.Length)
        {
            int sent = vectors.Count == 0 ? 0 : Posix.SendMsg(first, vectors);
            if (sent > 0)
            {
                partial += sent < vectors.TotalBytes ? 1 : 0;
                vectors.Advance(sent);
            }

            int got = Posix.Recv(second, target.Span.Slice(received, Math.Min(50_001, Length - received)));
            received += Math.Max(got, 0);
        }

        Assert.True(partial > 0, "the kernel took all at once, nothing was tested");
        Assert.Equal(0, vectors.Count);
        Assert.Equal(0, vectors.TotalBytes);
        Assert.True(expected.ToArray().AsSpan().SequenceEqual(target.Span[..received]));
    }

    [Fact]
    public void Splice_moves_bytes_from_a_socket_through_a_pipe_to_a_file()
    {
        (int first, int second) = Pair(SocketConstants.SOCK_NONBLOCK);
        PosixException.Check(Posix.Pipe2(out int reader, out int writer, OpenFlags.NonBlocking), "pipe");
        Own(reader);
        Own(writer);
        byte[] sent = new byte[10_000];
        new Random(1).NextBytes(sent);
        Assert.Equal(sent.Length, Posix.Send(first, sent));
        int moved = 0;
        while (moved < 9000)
        {
            moved += PosixException.Check(Posix.Splice(second, writer, 9000 - moved, SpliceFlags.NonBlocking | SpliceFlags.Move), "splice");
        }

        int file = Own(Posix.Open(Path.Combine(_folder.FullName, "out"), OpenFlags.ReadWrite | OpenFlags.Create, 0x180));
        Assert.Equal(9000, Posix.Splice(reader, file, 9000, SpliceFlags.None));
        Assert.Equal(-Errno.EAGAIN, Posix.Splice(reader, file, 1, SpliceFlags.NonBlocking));
        byte[] got = new byte[9000];
        Assert.Equal(9000, Posix.PRead(file, got, 0));
        Assert.Equal(sent[..9000], got);
        Assert.Equal(1000, Posix.Recv(second, new byte[2000]));
    }

    [Fact]
    public void Received_vectors_are_filled_in_order()
    {
        (int first, int second) = Pair();
        using NativeBuffer buffer = NativeBuffer.Allocate(64);
        using IoVectorList vectors = new(2);
        vectors.Add(buffer.Span.Slice(32, 3));
        vectors.Add(buffer.Span[..8]);
        Posix.Send(first, "abcdef"u8);
        Assert.Equal(6, Posix.RecvMsgV(second, vectors));
        Assert.Equal("abc"u8.ToArray(), buffer.Span.Slice(32, 3).ToArray());
        Assert.Equal("def"u8.ToArray(), buffer.Span[..3].ToArray());
    }

    private static void Exchange(int client, int server)
    {
        byte[] buffer = new byte[4];
        Assert.Equal(4, Posix.Send(client, "ping"u8));
        Assert.Equal(4, Posix.Recv(server, buffer, SocketConstants.MSG_WAITALL));
        Assert.Equal("ping"u8.ToArray(), buffer);
    }

    private int Own(int fd)
    {
        _open.Add(FileDescriptor.OwnOrThrow(fd, "descriptor"));
        return fd;
    }

    private (int First, int Second) Pair(int flags = 0)
    {
        int result = Posix.SocketPair(SocketConstants.AF_UNIX, SocketConstants.SOCK_STREAM | flags, out int first, out int second);
        PosixException.Check(result, "socketpair");
        return (Own(first), Own(second));
    }

    private (int Client, int Server) Connect(int family, byte[] bindTo)
    {
        int listener = Own(Posix.Socket(family, SocketConstants.SOCK_STREAM));
        PosixException.Check(Posix.Bind(listener, bindTo), "bind");
        PosixException.Check(Posix.Listen(listener, 5), "listen");
        PosixException.Check(Posix.GetSockName(listener, out byte[] address), "name");
        int client = Own(Posix.Socket(family, SocketConstants.SOCK_STREAM));
        PosixException.Check(Posix.Connect(client, address), "connect");
        int server = Own(Posix.Accept4(listener, 0));
        return (client, server);
    }
}
