using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;

namespace NbdFuse.Cli;

/// <summary>Tells systemd how far we are (sd_notify(3)): datagrams to the socket that NOTIFY_SOCKET names.</summary>
internal static partial class SystemdNotifier
{
    private const string Variable = "NOTIFY_SOCKET";

    /// <summary>Sends a state, such as <c>READY=1</c>; does nothing outside systemd.</summary>
    /// <param name="state">The state: lines of NAME=VALUE.</param>
    /// <param name="logger">Hears of a failure, which is no reason to stop.</param>
    public static void Notify(string state, ILogger logger)
    {
        string? path = Environment.GetEnvironmentVariable(Variable);
        if (string.IsNullOrEmpty(path))
        {
            return;
        }

        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);

            // An @ stands for the NUL of an abstract name.
            string name = path[0] == '@' ? '\0' + path[1..] : path;
            socket.SendTo(Encoding.UTF8.GetBytes(state), new UnixDomainSocketEndPoint(name));
        }
        catch (Exception e) when (e is SocketException or ArgumentException or PlatformNotSupportedException)
        {
            LogFailed(logger, path, e.Message);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "cannot tell systemd about the state at {Path}: {Reason}")]
    private static partial void LogFailed(ILogger logger, string path, string reason);
}
