using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>What every TCP connection to a server is set to: no delay (proto.md, "Protocol phases"), and noticing a dead peer.</summary>
internal static class TcpOptions
{
    /// <summary>Sets the options of a connected TCP socket.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="options">Their values.</param>
    /// <param name="logger">Hears of what the system refuses.</param>
    public static void Apply(int fd, NbdTransportOptions options, ILogger logger)
    {
        Set(SocketConstants.IPPROTO_TCP, SocketConstants.TCP_NODELAY, "TCP_NODELAY", 1);
        Set(SocketConstants.SOL_SOCKET, SocketConstants.SO_KEEPALIVE, "SO_KEEPALIVE", 1);
        Set(SocketConstants.IPPROTO_TCP, SocketConstants.TCP_KEEPIDLE, "TCP_KEEPIDLE", Seconds(options.KeepAliveIdle));
        Set(SocketConstants.IPPROTO_TCP, SocketConstants.TCP_KEEPINTVL, "TCP_KEEPINTVL", Seconds(options.KeepAliveInterval));
        Set(SocketConstants.IPPROTO_TCP, SocketConstants.TCP_KEEPCNT, "TCP_KEEPCNT", options.KeepAliveCount);
        Set(
            SocketConstants.IPPROTO_TCP,
            SocketConstants.TCP_USER_TIMEOUT,
            "TCP_USER_TIMEOUT",
            (int)Math.Clamp(options.UserTimeout.TotalMilliseconds, 0, int.MaxValue));

        void Set(int level, int name, string label, int value)
        {
            int result = Posix.SetSockOpt(fd, level, name, value);
            if (result < 0)
            {
                // A connection without it is slower to notice trouble, and still a connection.
                Log.SocketOptionFailed(logger, label, Errno.Describe(result));
            }
        }
    }

    private static int Seconds(TimeSpan time) => (int)Math.Clamp(Math.Ceiling(time.TotalSeconds), 1, 32767);
}
