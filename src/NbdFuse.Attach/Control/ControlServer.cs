using System.Net.Sockets;
using System.Text.Json;
using NbdFuse.Native;

namespace NbdFuse.Attach.Control;

/// <summary>
/// A daemon's control socket: one request per connection, one reply. Only the daemon's own user and root are answered; clients,
/// line length and patience are bounded.
/// </summary>
/// <remarks>
/// Nobody waits for anybody else: all clients are served at once. When too many have said nothing yet, the oldest of them is
/// dropped for the newest; when too many are being answered, as those who wait for the end of a detaching, a new one is turned away.
/// THREADING: control plane; requests of several clients run at the same time.
/// </remarks>
public sealed class ControlServer : IAsyncDisposable
{
    /// <summary>Most clients that have not sent their request yet.</summary>
    public const int MaximumSilent = 16;

    private const int MaximumAnswered = 64;

    // Who connects to a full backlog of a unix socket is refused at once, instead of waiting for its turn.
    private const int Backlog = 128;

    // rw for the owner.
    private const int Private = 0x180;

    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(100);

    private readonly Socket _listener;
    private readonly Func<ControlRequest, Task<ControlReply>> _handler;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _lock = new();
    private readonly LinkedList<CancellationTokenSource> _silent = new();
    private readonly HashSet<Task> _serving = [];
    private readonly TimeSpan _patience;
    private readonly Task _accepting;
    private int _answered;

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
        Task[] rest;
        lock (_lock)
        {
            rest = [.. _serving];
        }

        await Task.WhenAny(Task.WhenAll(rest), Task.Delay(_patience)).ConfigureAwait(false);
    }

    private async Task AcceptAsync()
    {
        while (await AcceptOneAsync().ConfigureAwait(false) is var (isStopped, accepted) && !isStopped)
        {
            if (accepted is { } client)
            {
                CancellationTokenSource patience = Welcome();
                lock (_lock)
                {
                    Task task = Task.Run(() => ServeAsync(client, patience));
                    _serving.Add(task);
                    _ = task.ContinueWith(Forget, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
                }
            }
        }
    }

    private async Task<(bool IsStopped, Socket? Client)> AcceptOneAsync()
    {
        try
        {
            return (false, await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false));
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException || (e is SocketException && _stop.IsCancellationRequested))
        {
            return (true, null);
        }
        catch (SocketException)
        {
            // Want of descriptors or memory, or a client that has gone at once. A daemon that stopped listening could only be killed.
            await Task.WhenAny(Task.Delay(RetryDelay, _stop.Token)).ConfigureAwait(false);
            return (false, null);
        }
    }

    private CancellationTokenSource Welcome()
    {
        var patience = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        patience.CancelAfter(_patience);
        lock (_lock)
        {
            _silent.AddLast(patience);
            if (_silent.Count > MaximumSilent)
            {
                // Under the lock, since its owner disposes it there; by its timer, since a cancellation runs foreign code.
                _silent.First!.Value.CancelAfter(TimeSpan.Zero);
                _silent.RemoveFirst();
            }
        }

        return patience;
    }

    private void Forget(Task task)
    {
        lock (_lock)
        {
            _serving.Remove(task);
        }
    }

    private async Task ServeAsync(Socket client, CancellationTokenSource patience)
    {
        try
        {
            using (client)
            {
                ControlReply reply = await AnswerAsync(client, patience).ConfigureAwait(false);
                using var sending = new CancellationTokenSource(_patience);
                await ControlLine
                    .SendAsync(client, JsonSerializer.SerializeToUtf8Bytes(reply, AttachJson.Default.ControlReply), sending.Token)
                    .ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // The client has gone, or was too slow: it is its own loss.
            return;
        }
        finally
        {
            Spoken(patience);
            patience.Dispose();
        }
    }

    private void Spoken(CancellationTokenSource patience)
    {
        lock (_lock)
        {
            if (_silent.Remove(patience))
            {
                patience.CancelAfter(Timeout.Infinite);
            }
        }
    }

    private async Task<ControlReply> HandleAsync(ControlRequest request)
    {
        try
        {
            return Interlocked.Increment(ref _answered) > MaximumAnswered
                ? new ControlReply { Message = "too many clients wait for this daemon; try again" }
                : await _handler(request).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            return new ControlReply { Message = e.Message };
        }
        finally
        {
            Interlocked.Decrement(ref _answered);
        }
    }

    private async Task<ControlReply> AnswerAsync(Socket client, CancellationTokenSource patience)
    {
        if (Posix.GetPeerCredentials((int)client.Handle, out _, out uint uid, out _) < 0 || (uid != 0 && uid != Posix.GetEuid()))
        {
            return new ControlReply { Message = "this socket answers root and the daemon's own user only" };
        }

        ReadOnlyMemory<byte>? line = await ControlLine
            .ReceiveAsync(client, ControlLine.MaximumRequest, patience.Token).ConfigureAwait(false);
        Spoken(patience);
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

        return await HandleAsync(request).ConfigureAwait(false);
    }
}
