using System.Net.Sockets;
using System.Text.Json;
using NbdFuse.Native;

namespace NbdFuse.Attach.Control;

/// <summary>
/// A daemon's control socket: one request per connection, one reply. Only the daemon's own user and root are answered; clients,
/// line length and patience are bounded.
/// </summary>
/// <remarks>THREADING: control plane; requests of several clients run at the same time.</remarks>
public sealed class ControlServer : IAsyncDisposable
{
    private const int MaximumClients = 8;

    // Who connects to a full backlog of a unix socket is refused at once, instead of waiting for its turn.
    private const int Backlog = 128;

    // rw for the owner.
    private const int Private = 0x180;

    private readonly Socket _listener;
    private readonly Func<ControlRequest, Task<ControlReply>> _handler;
    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _clients = new(MaximumClients);
    private readonly TimeSpan _patience;
    private readonly Task _accepting;

    /// <summary>Listens.</summary>
    /// <param name="path">Path of the socket, which must not exist, in a directory of mode 0700.</param>
    /// <param name="handler">Answers requests; what it throws is answered as a failure.</param>
    /// <param name="patience">How long a client may take to send its request; null for 10 s.</param>
    public ControlServer(string path, Func<ControlRequest, Task<ControlReply>> handler, TimeSpan? patience = null)
    {
        _handler = handler;
        _patience = patience ?? TimeSpan.FromSeconds(10);
        _listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            _listener.Bind(new UnixDomainSocketEndPoint(path));
            PosixException.Check(Posix.Chmod(path, Private), path);
            _listener.Listen(Backlog);
        }
        catch
        {
            _listener.Dispose();
            throw;
        }

        _accepting = AcceptAsync();
    }

    /// <summary>Stops to listen, and waits until what is being answered has been, or its client's time is up.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        for (int client = 0; client < MaximumClients; client++)
        {
            await _clients.WaitAsync(_patience).ConfigureAwait(false);
        }

        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        bool holding = false;
        try
        {
            while (true)
            {
                await _clients.WaitAsync(_stop.Token).ConfigureAwait(false);
                holding = true;
                Socket client = await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
                holding = false;
                _ = ServeAsync(client);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Stopped. A socket of this machine has no other reason to fail.
            if (holding)
            {
                _clients.Release();
            }
        }
    }

    private async Task ServeAsync(Socket client)
    {
        try
        {
            using (client)
            {
                ControlReply reply = await AnswerAsync(client).ConfigureAwait(false);
                using var patience = new CancellationTokenSource(_patience);
                await ControlLine
                    .SendAsync(client, JsonSerializer.SerializeToUtf8Bytes(reply, AttachJson.Default.ControlReply), patience.Token)
                    .ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // The client has gone, or was too slow: it is its own loss.
        }
        finally
        {
            _clients.Release();
        }
    }

    private async Task<ControlReply> AnswerAsync(Socket client)
    {
        if (Posix.GetPeerCredentials((int)client.Handle, out _, out uint uid, out _) < 0 || (uid != 0 && uid != Posix.GetEuid()))
        {
            return new ControlReply { Message = "this socket answers root and the daemon's own user only" };
        }

        using var patience = new CancellationTokenSource(_patience);
        ReadOnlyMemory<byte>? line = await ControlLine.ReceiveAsync(client, ControlLine.MaximumRequest, patience.Token).ConfigureAwait(false);
        ControlRequest? request = null;
        try
        {
            request = line is { } json ? JsonSerializer.Deserialize(json.Span, AttachJson.Default.ControlRequest) : null;
        }
        catch (JsonException)
        {
            // Answered as every other request that makes no sense.
        }

        if (request is null)
        {
            return new ControlReply { Message = $"a request is one line of JSON, of {ControlLine.MaximumRequest} bytes at most" };
        }

        if (request.Version != 1)
        {
            return new ControlReply { Message = $"this daemon speaks version 1 of the control protocol, not {request.Version}" };
        }

        try
        {
            return await _handler(request).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            return new ControlReply { Message = e.Message };
        }
    }
}
