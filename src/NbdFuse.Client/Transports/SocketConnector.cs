using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>Connects raw sockets.</summary>
internal static class SocketConnector
{
    // How long to wait for room in a full backlog of a unix socket, which nothing announces.
    private const int BacklogRetryMilliseconds = 20;

    /// <summary>Connects a new non-blocking stream socket.</summary>
    /// <param name="address">A sockaddr.</param>
    /// <param name="wait">Deadline and cancellation.</param>
    /// <param name="sliceMilliseconds">Time for this address.</param>
    /// <param name="socket">The socket, or null on failure.</param>
    /// <returns>0, or a negative errno; ETIMEDOUT also when the time is over.</returns>
    public static int Connect(byte[] address, DeadlineWait wait, int sliceMilliseconds, out FileDescriptor? socket)
    {
        socket = null;
        int fd = Posix.Socket(
            SocketAddresses.GetFamily(address), SocketConstants.SOCK_STREAM | SocketConstants.SOCK_NONBLOCK);
        if (fd < 0)
        {
            return fd;
        }

        FileDescriptor owned = FileDescriptor.Own(fd);
        try
        {
            int result = Connect(fd, address, wait, sliceMilliseconds);
            if (result >= 0)
            {
                socket = owned;
            }

            return result;
        }
        finally
        {
            if (socket is null)
            {
                owned.Dispose();
            }
        }
    }

    private static int Connect(int fd, byte[] address, DeadlineWait wait, int sliceMilliseconds)
    {
        long end = MonotonicClock.Milliseconds + Math.Min(sliceMilliseconds, wait.RemainingMilliseconds);
        int result = Posix.Connect(fd, address);
        while (result == -Errno.EAGAIN)
        {
            int left = (int)(end - MonotonicClock.Milliseconds);
            if (left <= 0)
            {
                return -Errno.ETIMEDOUT;
            }

            wait.WaitFor(-1, PollEvents.None, Math.Min(left, BacklogRetryMilliseconds));
            result = Posix.Connect(fd, address);
        }

        if (result is -Errno.EINPROGRESS or -Errno.EINTR)
        {
            int left = (int)Math.Max(0, end - MonotonicClock.Milliseconds);
            result = wait.WaitFor(fd, PollEvents.Out, left) ? Posix.GetSocketError(fd) : -Errno.ETIMEDOUT;
        }

        return result >= 0 && IsSelfConnected(fd, address) ? -Errno.ECONNREFUSED : result;
    }

    // With nobody listening, a loop of connects to a local ephemeral port sooner or later gets that port as its own and
    // is connected to itself (TCP's simultaneous open).
    private static bool IsSelfConnected(int fd, byte[] address) =>
        SocketAddresses.GetFamily(address) is SocketConstants.AF_INET or SocketConstants.AF_INET6
        && Posix.GetSockName(fd, out byte[] local) >= 0
        && Posix.GetPeerName(fd, out byte[] peer) >= 0
        && local.AsSpan().SequenceEqual(peer);
}
