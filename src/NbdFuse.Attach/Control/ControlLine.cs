using System.Net.Sockets;

namespace NbdFuse.Attach.Control;

/// <summary>Lines of bounded length over a socket.</summary>
internal static class ControlLine
{
    /// <summary>Most bytes of a request, with its line feed.</summary>
    public const int MaximumRequest = 1024;

    /// <summary>Most bytes of a reply, with its line feed.</summary>
    public const int MaximumReply = 64 * 1024;

    /// <summary>Receives one line; what follows it is dropped.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="maximum">Most bytes.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <returns>The line without its line feed; null when the peer ended before, or sent more.</returns>
    public static async Task<ReadOnlyMemory<byte>?> ReceiveAsync(Socket socket, int maximum, CancellationToken cancellation)
    {
        byte[] buffer = new byte[maximum];
        int length = 0;
        while (length < maximum)
        {
            int count = await socket.ReceiveAsync(buffer.AsMemory(length), SocketFlags.None, cancellation).ConfigureAwait(false);
            if (count == 0)
            {
                return null;
            }

            int end = buffer.AsSpan(length, count).IndexOf((byte)'\n');
            if (end >= 0)
            {
                return buffer.AsMemory(0, length + end);
            }

            length += count;
        }

        return null;
    }

    /// <summary>Sends one line.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="line">The line without its line feed.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    public static async Task SendAsync(Socket socket, byte[] line, CancellationToken cancellation)
    {
        ReadOnlyMemory<byte> rest = (byte[])[.. line, (byte)'\n'];
        while (!rest.IsEmpty)
        {
            rest = rest[await socket.SendAsync(rest, SocketFlags.None, cancellation).ConfigureAwait(false)..];
        }
    }
}
