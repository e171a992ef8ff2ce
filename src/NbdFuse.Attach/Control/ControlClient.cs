using System.Net.Sockets;
using System.Text.Json;

namespace NbdFuse.Attach.Control;

/// <summary>Asks a daemon.</summary>
public static class ControlClient
{
    /// <summary>Sends a request and waits for the reply.</summary>
    /// <param name="path">Path of the socket.</param>
    /// <param name="request">The request.</param>
    /// <param name="timeout">How long.</param>
    /// <returns>The reply; null when the daemon is gone, does not answer in time, or answers nonsense.</returns>
    public static async Task<ControlReply?> AskAsync(string path, ControlRequest request, TimeSpan timeout)
    {
        using var patience = new CancellationTokenSource(timeout);
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), patience.Token).ConfigureAwait(false);
            await ControlLine
                .SendAsync(socket, JsonSerializer.SerializeToUtf8Bytes(request, AttachJson.Default.ControlRequest), patience.Token)
                .ConfigureAwait(false);
            ReadOnlyMemory<byte>? line = await ControlLine.ReceiveAsync(socket, ControlLine.MaximumReply, patience.Token).ConfigureAwait(false);
            return line is { } json ? Read(json.Span) : null;
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or JsonException or ArgumentException)
        {
            return null;
        }
    }

    /// <summary>Reads the line of a reply.</summary>
    /// <param name="line">The line.</param>
    /// <returns>The reply; null when it is nonsense.</returns>
    /// <exception cref="JsonException">It is no JSON.</exception>
    internal static ControlReply? Read(ReadOnlySpan<byte> line)
    {
        ControlReply? reply = JsonSerializer.Deserialize(line, AttachJson.Default.ControlReply);
        return reply?.Status is { } status && !StatusCheck.IsWhole(status) ? null : reply;
    }
}
