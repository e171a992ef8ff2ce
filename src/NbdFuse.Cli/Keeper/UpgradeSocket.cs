using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>
/// Where the process that serves a file is asked to make room for another: an abstract unix socket, named by the device number of
/// the mount, so that nothing is left of it. Only root and the user of the process are listened to.
/// </summary>
internal static partial class UpgradeSocket
{
    /// <summary>What a client says.</summary>
    public const string Request = "upgrade 1\n";

    /// <summary>What it is answered when the process makes room.</summary>
    public const string Accepted = "ok\n";

    private const int LongestRequest = 64;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>The address.</summary>
    /// <param name="device">Device number of the mount, as "major:minor".</param>
    public static UnixDomainSocketEndPoint EndPointOf(string device) => new($"\0nbdfuse-upgrade-{device}");

    /// <summary>Listens until the end of the process.</summary>
    /// <param name="device">Device number of the mount, as "major:minor".</param>
    /// <param name="link">The keeper.</param>
    /// <param name="logger">Log.</param>
    public static async Task ListenAsync(string device, KeeperLink link, ILogger logger)
    {
        try
        {
            using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            listener.Bind(EndPointOf(device));
            listener.Listen();
            while (!link.HandOver.IsCompleted)
            {
                using Socket client = await listener.AcceptAsync().ConfigureAwait(false);
                if (await AcceptsAsync(client, link, logger).ConfigureAwait(false))
                {
                    // Nobody listens any more before the client hears of it: whom it finds from then on is the next process.
                    listener.Dispose();
                    await client.SendAsync(Encoding.UTF8.GetBytes(Accepted), SocketFlags.None).ConfigureAwait(false);
                    client.Dispose();
                    link.MakeRoom();
                }
            }
        }
        catch (SocketException e)
        {
            LogNotListening(logger, e.Message);
        }
    }

    private static async Task<bool> AcceptsAsync(Socket client, KeeperLink link, ILogger logger)
    {
        if (Posix.GetPeerCredentials((int)client.Handle, out _, out uint uid, out _) < 0 || (uid != 0 && uid != Posix.GetEuid()))
        {
            return false;
        }

        using var patience = new CancellationTokenSource(Patience);
        try
        {
            byte[] request = new byte[LongestRequest];
            int length = 0;
            int received;
            do
            {
                received = await client.ReceiveAsync(request.AsMemory(length), SocketFlags.None, patience.Token).ConfigureAwait(false);
                length += received;
            }
            while (received > 0 && length < request.Length && request[length - 1] != '\n');

            bool known = request.AsSpan(0, length).SequenceEqual(Encoding.UTF8.GetBytes(Request));
            string? refusal = !known ? "this version knows no such request" : link.Lost.IsCompleted ? "its keeper has died, so that nobody would follow it" : null;
            if (refusal is null)
            {
                return true;
            }

            await client.SendAsync(Encoding.UTF8.GetBytes(refusal + "\n"), SocketFlags.None, patience.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            LogClientLost(logger, e.Message);
        }

        return false;
    }

    [LoggerMessage(5111, LogLevel.Warning, "nobody can ask for an upgrade: {Reason}")]
    private static partial void LogNotListening(ILogger logger, string reason);

    [LoggerMessage(5112, LogLevel.Debug, "a client of the upgrade socket is gone: {Reason}")]
    private static partial void LogClientLost(ILogger logger, string reason);
}
