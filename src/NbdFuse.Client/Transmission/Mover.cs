using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <summary>
/// A helper thread with connections of its own for large payloads, so that a copy of 1 MiB does not stand between the
/// export's loop and its small requests.
/// </summary>
/// <remarks>
/// THREADING: the connections and everything in them belong to the mover's own loop. A request comes in through one
/// bounded ring and goes back through another; in between only the mover touches it. No ordering is decided here: what
/// may run at the same time was decided before the request came.
/// </remarks>
internal sealed class Mover : ITurnHook, IConnectionOwner, IDisposable
{
    private readonly EventLoop _loop;
    private readonly LoopMailbox<BlockRequest> _inbox;
    private readonly LoopMailbox<BlockRequest> _outbox;
    private readonly IConnectionOwner _owner;
    private readonly List<NbdConnection> _connections = [];
    private readonly EventLoop _exportLoop;
    private int _next;

    // The export's loop only.
    private bool _hasPosted;

    // The mover's loop only.
    private bool _hasEnded;

    /// <summary>Makes a mover.</summary>
    /// <param name="number">Number for the thread's name.</param>
    /// <param name="capacity">Most requests that can be on their way in one direction.</param>
    /// <param name="exportLoop">The export's loop.</param>
    /// <param name="outbox">Where ended requests go; read by the export's loop.</param>
    /// <param name="owner">Hears, on the mover's thread, of dead connections.</param>
    public Mover(int number, int capacity, EventLoop exportLoop, LoopMailbox<BlockRequest> outbox, IConnectionOwner owner)
    {
        _loop = new EventLoop($"nbd mover {number}", new EventLoopOptions { SpinMicroseconds = 0 });
        _inbox = new LoopMailbox<BlockRequest>(_loop, capacity);
        _exportLoop = exportLoop;
        _outbox = outbox;
        _owner = owner;
        _loop.AddTurnHook(this);
        _loop.Failed += failure =>
        {
            owner.OnConnectionFailing();
            owner.OnConnectionFailed(_connections[0], new NbdDisconnectedException($"a mover thread failed: {failure.Message}"));
        };
    }

    /// <inheritdoc/>
    public bool WantsSpin => false;

    /// <summary>The connections; the list does not change after <see cref="Start"/>.</summary>
    public IReadOnlyList<NbdConnection> Connections => _connections;

    /// <summary>Adds a connection. Before <see cref="Start"/>.</summary>
    /// <param name="socket">Socket after the handshake, and what was negotiated on it.</param>
    public void Add(NegotiatedSocket socket) =>
        _connections.Add(new NbdConnection(_loop, socket.Socket, WireForm.Of(socket.Negotiated), splice: true, this, socket.IsCutOff));

    /// <summary>Starts the thread.</summary>
    public void Start()
    {
        foreach (NbdConnection connection in _connections)
        {
            connection.Start();
        }

        _loop.Start();
    }

    /// <summary>Hands a request over; <see cref="Flush"/> follows. On the export's loop.</summary>
    /// <param name="request">The request.</param>
    public void Submit(BlockRequest request)
    {
        if (!_inbox.TryPostQuietly(request))
        {
            throw new InvalidOperationException("More requests are in flight than slots exist.");
        }

        _hasPosted = true;
    }

    /// <summary>Wakes the mover once for all that a turn handed over. On the export's loop.</summary>
    public void Flush()
    {
        if (_hasPosted)
        {
            _hasPosted = false;
            _loop.Wake();
        }
    }

    /// <inheritdoc/>
    public void OnTurnEnd()
    {
        while (_inbox.TryTake(out BlockRequest? request))
        {
            NextConnection().Submit(request);
        }

        foreach (NbdConnection connection in _connections)
        {
            connection.Flush();
        }

        if (_hasEnded)
        {
            // Callers have their payloads already; the slots may come back in batches.
            _hasEnded = false;
            _exportLoop.Wake();
        }
    }

    /// <summary>Runs an action on the mover's thread.</summary>
    /// <param name="action">The action.</param>
    /// <returns>False when the thread has ended.</returns>
    public bool Post(Action action) => _loop.Post(action);

    /// <summary>Runs an action for each connection on the mover's thread.</summary>
    /// <param name="action">The action.</param>
    /// <returns>False when the thread has ended.</returns>
    public bool Post(Action<NbdConnection> action) => _loop.Post(() =>
    {
        foreach (NbdConnection connection in _connections)
        {
            action(connection);
        }
    });

    /// <summary>Ends what a thread that has died of an exception still held. On the export's loop.</summary>
    /// <param name="reason">Why.</param>
    public void Abort(NbdException reason)
    {
        _loop.Join();
        foreach (NbdConnection connection in _connections)
        {
            connection.Fail(reason);
        }

        while (_inbox.TryTake(out BlockRequest? request))
        {
            ((IConnectionOwner)this).OnRequestEnded(request, NbdConnection.Lost);
        }
    }

    /// <summary>Stops the thread and waits for it.</summary>
    public void Stop()
    {
        _loop.Stop();
        _loop.Join();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (NbdConnection connection in _connections)
        {
            connection.Dispose();
        }

        _loop.Dispose();
    }

    /// <summary>One that works, in turn; a dead one, which gives the request back, when none does.</summary>
    private NbdConnection NextConnection()
    {
        for (int i = 0; i < _connections.Count; i++)
        {
            _next = (_next + 1) % _connections.Count;
            if (!_connections[_next].IsClosed)
            {
                break;
            }
        }

        return _connections[_next];
    }

    /// <inheritdoc/>
    void IConnectionOwner.OnRequestEnded(BlockRequest request, int error)
    {
        request.TransferError = error;
        if (!_outbox.TryPostQuietly(request))
        {
            throw new InvalidOperationException("More requests are in flight than slots exist.");
        }

        _hasEnded = true;
    }

    /// <inheritdoc/>
    void IConnectionOwner.OnConnectionFailing() => _owner.OnConnectionFailing();

    /// <inheritdoc/>
    void IConnectionOwner.OnConnectionFailed(NbdConnection connection, NbdException reason) =>
        _owner.OnConnectionFailed(connection, reason);

    /// <inheritdoc/>
    void IConnectionOwner.OnErrorText(BlockRequest request, int error, ReadOnlySpan<byte> text) =>
        _owner.OnErrorText(request, error, text);

    /// <inheritdoc/>
    void IConnectionOwner.OnServerShutdown(NbdConnection connection) => _owner.OnServerShutdown(connection);
}
