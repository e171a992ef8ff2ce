namespace NbdFuse.Native;

public static unsafe partial class Posix
{
    /// <summary>Makes a socket, close-on-exec.</summary>
    /// <param name="family">One of the AF_ constants.</param>
    /// <param name="type">One of the SOCK_ constants, with or without <see cref="SocketConstants.SOCK_NONBLOCK"/>.</param>
    /// <param name="protocol">Usually 0.</param>
    /// <returns>The descriptor.</returns>
    public static int Socket(int family, int type, int protocol = 0) =>
        Result(Libc.socket(family, type | SocketConstants.SOCK_CLOEXEC, protocol));

    /// <summary>Makes two connected sockets, close-on-exec.</summary>
    /// <param name="family">Usually <see cref="SocketConstants.AF_UNIX"/>.</param>
    /// <param name="type">One of the SOCK_ constants, with or without <see cref="SocketConstants.SOCK_NONBLOCK"/>.</param>
    /// <param name="first">One end.</param>
    /// <param name="second">The other end.</param>
    public static int SocketPair(int family, int type, out int first, out int second)
    {
        int* fds = stackalloc int[2] { -1, -1 };
        int result = Result(Libc.socketpair(family, type | SocketConstants.SOCK_CLOEXEC, 0, fds));
        first = fds[0];
        second = fds[1];
        return result;
    }

    /// <summary>
    /// connect(2). EINTR is not retried (the attempt goes on in the background, as after EINPROGRESS):
    /// wait for writability, then ask <see cref="GetSocketError"/>.
    /// </summary>
    /// <param name="fd">The socket.</param>
    /// <param name="address">A sockaddr, see <see cref="SocketAddresses"/>.</param>
    public static int Connect(int fd, ReadOnlySpan<byte> address)
    {
        fixed (byte* p = address)
        {
            return Result(Libc.connect(fd, p, (uint)address.Length));
        }
    }

    /// <summary>bind(2).</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="address">A sockaddr, see <see cref="SocketAddresses"/>.</param>
    public static int Bind(int fd, ReadOnlySpan<byte> address)
    {
        fixed (byte* p = address)
        {
            return Result(Libc.bind(fd, p, (uint)address.Length));
        }
    }

    /// <summary>listen(2).</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="backlog">Connections that may wait.</param>
    public static int Listen(int fd, int backlog) => Result(Libc.listen(fd, backlog));

    /// <summary>Accepts a connection, close-on-exec; retries EINTR.</summary>
    /// <param name="fd">The listening socket.</param>
    /// <param name="flags">0 or <see cref="SocketConstants.SOCK_NONBLOCK"/>.</param>
    /// <returns>The connection's descriptor.</returns>
    public static int Accept4(int fd, int flags)
    {
        int result;
        do
        {
            result = Result(Libc.accept4(fd, null, null, flags | SocketConstants.SOCK_CLOEXEC));
        }
        while (result == -Errno.EINTR);
        return result;
    }

    /// <summary>The local address.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="address">The sockaddr; empty on failure.</param>
    public static int GetSockName(int fd, out byte[] address) => GetName(fd, peer: false, out address);

    /// <summary>The peer's address.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="address">The sockaddr; empty on failure.</param>
    public static int GetPeerName(int fd, out byte[] address) => GetName(fd, peer: true, out address);

    /// <summary>Takes the socket's pending error, such as the outcome of a non-blocking connect.</summary>
    /// <param name="fd">The socket.</param>
    /// <returns>0 when there is none, else the negative errno (of the socket, or of this call).</returns>
    public static int GetSocketError(int fd)
    {
        int result = GetSockOptInt(fd, SocketConstants.SOL_SOCKET, SocketConstants.SO_ERROR, out int error);
        return result < 0 ? result : -error;
    }

    /// <summary>Sets an integer option.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="level">Option level.</param>
    /// <param name="name">Option.</param>
    /// <param name="value">Value, in the option's unit.</param>
    public static int SetSockOpt(int fd, int level, int name, int value) =>
        Result(Libc.setsockopt(fd, level, name, &value, sizeof(int)));

    /// <summary>Reads an integer option.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="level">Option level.</param>
    /// <param name="name">Option.</param>
    /// <param name="value">Value, in the option's unit.</param>
    public static int GetSockOptInt(int fd, int level, int name, out int value)
    {
        int got = 0;
        uint length = sizeof(int);
        int result = Result(Libc.getsockopt(fd, level, name, &got, &length));
        value = got;
        return result;
    }

    /// <summary>Makes close(2) reset the connection at once (SO_LINGER with time 0): nothing unsent may still arrive.</summary>
    /// <param name="fd">The socket.</param>
    public static int SetLingerZero(int fd)
    {
        int* linger = stackalloc int[2] { 1, 0 };
        return Result(Libc.setsockopt(fd, SocketConstants.SOL_SOCKET, SocketConstants.SO_LINGER, linger, 2 * sizeof(int)));
    }

    /// <summary>Who is at the other end of a unix socket, as of its connect or socketpair.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="pid">Process; 0 when it is not visible in our namespace.</param>
    /// <param name="uid">User.</param>
    /// <param name="gid">Group.</param>
    public static int GetPeerCredentials(int fd, out int pid, out uint uid, out uint gid)
    {
        int* credentials = stackalloc int[3] { 0, -1, -1 };
        uint length = 3 * sizeof(int);
        int result = Result(
            Libc.getsockopt(fd, SocketConstants.SOL_SOCKET, SocketConstants.SO_PEERCRED, credentials, &length));
        pid = credentials[0];
        uid = (uint)credentials[1];
        gid = (uint)credentials[2];
        return result;
    }

    /// <summary>shutdown(2).</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="how">One of the SHUT_ constants.</param>
    public static int Shutdown(int fd, int how) => Result(Libc.shutdown(fd, how));

    /// <summary>recv(2); retries EINTR.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="flags">MSG_ constants.</param>
    /// <returns>Bytes received; 0 means that the peer has shut down.</returns>
    public static int Recv(int fd, Span<byte> buffer, int flags = 0)
    {
        fixed (byte* p = buffer)
        {
            int result;
            do
            {
                result = Result(Libc.recv(fd, p, (nuint)buffer.Length, flags));
            }
            while (result == -Errno.EINTR);
            return result;
        }
    }

    /// <summary>send(2) without SIGPIPE; retries EINTR. May send less than asked.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="buffer">The bytes.</param>
    /// <param name="flags">MSG_ constants; <see cref="SocketConstants.MSG_NOSIGNAL"/> is added.</param>
    /// <returns>Bytes sent.</returns>
    public static int Send(int fd, ReadOnlySpan<byte> buffer, int flags = 0)
    {
        fixed (byte* p = buffer)
        {
            int result;
            do
            {
                result = Result(Libc.send(fd, p, (nuint)buffer.Length, flags | SocketConstants.MSG_NOSIGNAL));
            }
            while (result == -Errno.EINTR);
            return result;
        }
    }

    /// <summary>sendmsg(2) of all the list's vectors without SIGPIPE; retries EINTR. Does not advance the list.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="vectors">The bytes.</param>
    /// <param name="flags">MSG_ constants; <see cref="SocketConstants.MSG_NOSIGNAL"/> is added.</param>
    /// <returns>Bytes sent, possibly fewer than the list holds: call <see cref="IoVectorList.Advance"/>.</returns>
    public static int SendMsg(int fd, IoVectorList vectors, int flags = 0)
    {
        MessageHeader message = default;
        message.Vectors = vectors.Head;
        message.VectorCount = (nuint)vectors.Count;
        int result;
        do
        {
            result = Result(Libc.sendmsg(fd, &message, flags | SocketConstants.MSG_NOSIGNAL));
        }
        while (result == -Errno.EINTR);
        return result;
    }

    /// <summary>recvmsg(2) into the list's vectors; retries EINTR. Does not advance the list.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="vectors">Writable native memory.</param>
    /// <param name="flags">MSG_ constants.</param>
    /// <returns>Bytes received; 0 means that the peer has shut down.</returns>
    public static int RecvMsgV(int fd, IoVectorList vectors, int flags = 0)
    {
        MessageHeader message = default;
        message.Vectors = vectors.Head;
        message.VectorCount = (nuint)vectors.Count;
        int result;
        do
        {
            result = Result(Libc.recvmsg(fd, &message, flags));
        }
        while (result == -Errno.EINTR);
        return result;
    }

    private static int GetName(int fd, bool peer, out byte[] address)
    {
        const int Maximum = 128;
        byte* buffer = stackalloc byte[Maximum];
        uint length = Maximum;
        int result = Result(peer ? Libc.getpeername(fd, buffer, &length) : Libc.getsockname(fd, buffer, &length));
        address = result < 0 ? [] : new Span<byte>(buffer, (int)Math.Min(length, Maximum)).ToArray();
        return result;
    }
}
