using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <summary>
/// All connections to one generation of the server, that is, to one run of it: what one of them acknowledged, all know.
/// </summary>
/// <remarks>
/// THREADING: the export's loop, but for construction and <see cref="Retire"/>. Connections for large payloads may
/// belong to movers; what they report is passed on to the export's loop.
/// </remarks>
internal sealed class ConnectionSet : IConnectionOwner
{
    /// <summary>Most requests between the loop and the movers: the slots of every queue and layer above.</summary>
    private const int MailboxCapacity = 4096;

    /// <summary>Requests in a row on one connection: enough for one send to carry several.</summary>
    private const int Batch = 8;

    /// <summary>Every so many small requests, one takes a connection for large ones, so that all are in use.</summary>
    private const int LoanEvery = 64;

    private readonly EventLoop _loop;
    private readonly IConnectionSetOwner _owner;
    private readonly int _largeBytes;
    private readonly LoopMailbox<BlockRequest> _finished;
    private readonly Mover[] _movers;
    private readonly int[] _moverAlive;
    private readonly int _wantedSmall;
    private NbdConnection[] _all;
    private NbdConnection[] _small;
    private NbdConnection[] _large;
    private Mover[] _usableMovers;
    private long _smallCount;
    private int _nextLarge;
    private int _failing;

    /// <summary>Makes the set; <see cref="Start"/> joins it to the loop.</summary>
    /// <param name="generation">Its number.</param>
    /// <param name="loop">The export's loop.</param>
    /// <param name="sockets">Sockets after the handshake, at least one; owned from here on.</param>
    /// <param name="movers">Threads for large payloads that are wanted.</param>
    /// <param name="largeBytes">Payload from which a request is large, in bytes.</param>
    /// <param name="owner">Hears of ended requests and dead connections.</param>
    public ConnectionSet(
        int generation, EventLoop loop, IReadOnlyList<NegotiatedSocket> sockets, int movers, int largeBytes, IConnectionSetOwner owner)
    {
        Generation = generation;
        _loop = loop;
        _owner = owner;
        _largeBytes = largeBytes;
        _finished = new LoopMailbox<BlockRequest>(loop, MailboxCapacity);
        movers = Math.Min(movers, sockets.Count - 1);
        int large = sockets.Count < 4 ? Math.Min(1, sockets.Count - 1) : sockets.Count / 2;
        large = Math.Max(large, movers);
        int small = sockets.Count - large;
        _small = [.. sockets.Take(small).Select(socket => Make(socket, splice: false))];
        _movers = [.. Enumerable.Range(0, movers).Select(number => new Mover(number, MailboxCapacity, loop, _finished, this))];
        _large = movers > 0 ? [] : [.. sockets.Skip(small).Select(socket => Make(socket, splice: true))];
        for (int i = small; i < sockets.Count && movers > 0; i++)
        {
            _movers[(i - small) % movers].Add(sockets[i]);
        }

        _wantedSmall = small;
        _usableMovers = [.. _movers];
        _moverAlive = [.. _movers.Select(mover => mover.Connections.Count)];
        _all = [.. _small, .. _large, .. _movers.SelectMany(mover => mover.Connections)];

        NbdConnection Make(NegotiatedSocket socket, bool splice) =>
            new(loop, socket.Socket, WireForm.Of(socket.Negotiated), splice, this, socket.IsCutOff);
    }

    /// <summary>Number of the server's run that this set belongs to, from 1.</summary>
    public int Generation { get; }

    /// <summary>Every connection that the set was made of, dead ones included.</summary>
    public IReadOnlyList<NbdConnection> All => Volatile.Read(ref _all);

    /// <summary>The threads for large payloads.</summary>
    public IReadOnlyList<Mover> Movers => _movers;

    /// <summary>Connections that still work.</summary>
    public int Alive { get; private set; }

    /// <summary>
    /// A connection is giving its requests back, and its owner has not heard of the reason yet: they must wait, since there may
    /// be a fence to pass.
    /// </summary>
    public bool IsFailing => Volatile.Read(ref _failing) != 0;

    /// <summary>Joins the loop. On its thread, or before it runs.</summary>
    public void Start()
    {
        Alive = _all.Length;
        foreach (NbdConnection connection in _small.Concat(_large))
        {
            connection.Start();
        }

        foreach (Mover mover in _movers)
        {
            mover.Start();
        }
    }

    /// <summary>Adds a connection to the same run of the server, in the place of a lost one.</summary>
    /// <param name="socket">Socket after the handshake; owned from here on.</param>
    /// <exception cref="PosixException">There are no resources for it.</exception>
    public void Add(NegotiatedSocket socket)
    {
        bool isSmall = _small.Length < _wantedSmall;
        var connection = new NbdConnection(_loop, socket.Socket, WireForm.Of(socket.Negotiated), splice: !isSmall, this, socket.IsCutOff);
        try
        {
            connection.Start();
        }
        catch
        {
            connection.Dispose();
            throw;
        }

        Volatile.Write(ref _all, [.. _all, connection]);
        if (isSmall)
        {
            _small = [.. _small, connection];
        }
        else
        {
            _large = [.. _large, connection];
        }

        Alive++;
    }

    /// <summary>
    /// Frees a connection that is out of use and behind its fence. One of a mover stays until the set is retired: there are
    /// no more of those than there were at first.
    /// </summary>
    /// <param name="connection">A failed connection.</param>
    public void Discard(NbdConnection connection)
    {
        if (Array.Exists(_movers, mover => mover.Connections.Contains(connection)) || !_all.Contains(connection))
        {
            return;
        }

        Volatile.Write(ref _all, Array.FindAll(_all, other => !ReferenceEquals(other, connection)));
        connection.Dispose();
    }

    /// <summary>Gives a request to one of the connections. It goes out with the next <see cref="Flush"/>.</summary>
    /// <param name="request">The request.</param>
    public void Submit(BlockRequest request)
    {
        if (request.Buffer.Length >= _largeBytes && TrySubmitLarge(request))
        {
            return;
        }

        long count = _smallCount++;
        if ((count % LoanEvery == LoanEvery - 1 || _small.Length == 0) && TrySubmitLarge(request))
        {
            return;
        }

        if (_small.Length > 0)
        {
            _small[(int)(count / Batch % _small.Length)].Submit(request);
            return;
        }

        _owner.OnRequestEnded(request, NbdConnection.Lost);
    }

    /// <summary>Ends what the movers have finished.</summary>
    public void TakeFinished()
    {
        while (_finished.TryTake(out BlockRequest? request))
        {
            _owner.OnRequestEnded(request, request.TransferError);
        }
    }

    /// <summary>Sends what was submitted since the last call.</summary>
    public void Flush()
    {
        foreach (NbdConnection connection in _small)
        {
            connection.Flush();
        }

        foreach (NbdConnection connection in _large)
        {
            connection.Flush();
        }

        foreach (Mover mover in _movers)
        {
            mover.Flush();
        }
    }

    /// <summary>
    /// Ends all connections that still work: NBD_CMD_DISC where it can be said, and no further request. What they hold comes
    /// back.
    /// </summary>
    /// <param name="reason">Why.</param>
    public void GiveUp(NbdException reason)
    {
        foreach (NbdConnection connection in _small.Concat(_large).ToArray())
        {
            connection.GiveUp(reason);
        }

        foreach (Mover mover in _movers)
        {
            if (!mover.Post(connection => connection.GiveUp(reason)))
            {
                mover.Abort(reason);
            }
        }
    }

    /// <summary>Sends nothing more on any connection, and leaves each when what is in flight there has been answered.</summary>
    public void BeginShutdown()
    {
        foreach (NbdConnection connection in _small.Concat(_large).ToArray())
        {
            connection.BeginShutdown();
        }

        foreach (Mover mover in _movers)
        {
            mover.Post(connection => connection.BeginShutdown());
        }
    }

    /// <summary>
    /// Says goodbye on every connection and leaves it; one with requests in flight is given up, and they come back. The
    /// connections of movers are left by <see cref="CloseMoversAsync"/>.
    /// </summary>
    /// <param name="reason">What the requests are given back for.</param>
    public void Close(NbdException reason) => Close(_small.Concat(_large).ToArray(), reason);

    /// <summary>As <see cref="Close(NbdException)"/>, for the movers, whose threads end. Control plane.</summary>
    /// <param name="reason">What the requests are given back for.</param>
    /// <param name="timeout">How long to wait for each thread.</param>
    /// <returns>False when a thread does not answer: then nothing that it may use is to be freed.</returns>
    public async Task<bool> CloseMoversAsync(NbdException reason, TimeSpan timeout)
    {
        bool isQuiet = true;
        foreach (Mover mover in _movers)
        {
            bool closed = await LoopCall.RunAsync(
                action => mover.Post(action), () => Close(mover.Connections, reason), () => mover.Abort(reason), timeout).ConfigureAwait(false);
            if (closed)
            {
                mover.Stop();
            }

            isQuiet &= closed;
        }

        return isQuiet;
    }

    /// <summary>Frees everything. No thread uses the set any more, and all of its requests have come back.</summary>
    public void Dispose()
    {
        foreach (Mover mover in _movers)
        {
            mover.Dispose();
        }

        foreach (NbdConnection connection in _all)
        {
            connection.Dispose();
        }
    }

    /// <summary>Ends the threads of a set that was given up and whose requests have come back, and frees it. Control plane.</summary>
    public void Retire()
    {
        foreach (Mover mover in _movers)
        {
            mover.Stop();
        }

        Dispose();
    }

    /// <inheritdoc/>
    void IConnectionOwner.OnRequestEnded(BlockRequest request, int error) => _owner.OnRequestEnded(request, error);

    /// <inheritdoc/>
    void IConnectionOwner.OnErrorText(BlockRequest request, int error, ReadOnlySpan<byte> text) =>
        _owner.OnErrorText(request, error, text);

    /// <inheritdoc/>
    void IConnectionOwner.OnConnectionFailing() => Interlocked.Increment(ref _failing);

    /// <inheritdoc/>
    void IConnectionOwner.OnConnectionFailed(NbdConnection connection, NbdException reason) => OnLoop(() =>
    {
        Interlocked.Decrement(ref _failing);
        Remove(connection);
        _owner.OnConnectionFailed(this, connection, reason);
    });

    /// <inheritdoc/>
    void IConnectionOwner.OnServerShutdown(NbdConnection connection) => OnLoop(() => _owner.OnServerShutdown(this));

    private static void Close(IEnumerable<NbdConnection> connections, NbdException reason)
    {
        foreach (NbdConnection connection in connections)
        {
            if (connection.InFlight > 0)
            {
                connection.GiveUp(reason);
            }
            else
            {
                connection.Disconnect();
            }
        }
    }

    private bool TrySubmitLarge(BlockRequest request)
    {
        int count = _usableMovers.Length + _large.Length;
        if (count == 0)
        {
            return false;
        }

        _nextLarge = (_nextLarge + 1) % count;
        if (_nextLarge < _usableMovers.Length)
        {
            _usableMovers[_nextLarge].Submit(request);
        }
        else
        {
            _large[_nextLarge - _usableMovers.Length].Submit(request);
        }

        return true;
    }

    /// <summary>Takes a dead connection out of use. New arrays: somebody may be walking the old ones.</summary>
    private void Remove(NbdConnection connection)
    {
        int before = _small.Length + _large.Length;
        _small = Array.FindAll(_small, other => !ReferenceEquals(other, connection));
        _large = Array.FindAll(_large, other => !ReferenceEquals(other, connection));
        if (_small.Length + _large.Length < before)
        {
            Alive--;
            return;
        }

        for (int i = 0; i < _movers.Length; i++)
        {
            if (_movers[i].Connections.Contains(connection) && _moverAlive[i] > 0)
            {
                Alive--;
                if (--_moverAlive[i] == 0)
                {
                    _usableMovers = Array.FindAll(_usableMovers, mover => !ReferenceEquals(mover, _movers[i]));
                }
            }
        }
    }

    private void OnLoop(Action action)
    {
        if (_loop.IsLoopThread)
        {
            action();
        }
        else
        {
            _loop.Post(action);
        }
    }
}
