using Microsoft.Extensions.Logging;
using NbdFuse.Block;
using NbdFuse.Client.Transmission;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <content>The data plane: which connection takes which request, and what happens when one dies.</content>
public sealed partial class NbdExport : IConnectionOwner
{
    /// <summary>Most requests between the loop and the movers: the slots of every queue and layer above.</summary>
    private const int MailboxCapacity = 4096;

    /// <summary>Requests in a row on one connection: enough for one send to carry several.</summary>
    private const int Batch = 8;

    /// <summary>Every so many small requests, one takes a connection for large ones, so that all are in use.</summary>
    private const int LoanEvery = 64;

    /// <summary>
    /// Processors from which on a mover pays. With two, both are busy with the application and a local server, and a loop
    /// that splices by itself measured 5 to 10 % faster at 128 KiB and 1 MiB.
    /// </summary>
    private const int ProcessorsForMover = 4;

    /// <summary>Characters of a server's error text that are shown.</summary>
    private const int MaximumErrorText = 256;

    private EventLoop? _loop;
    private LoopMailbox<BlockRequest>? _finished;
    private NbdConnection[] _small = [];
    private NbdConnection[] _large = [];
    private Mover[] _movers = [];
    private long _smallCount;
    private int _nextLarge;
    private int _closedError;
    private bool _hasFailed;

    /// <summary>Takes over the loop's side of the connections. On the loop's thread, or before it runs.</summary>
    /// <param name="loop">The loop on which requests are submitted and completed.</param>
    public void Start(EventLoop loop)
    {
        _loop = loop;
        _finished = new LoopMailbox<BlockRequest>(loop, MailboxCapacity);
        int movers = _options.Movers >= 0 ? _options.Movers : Environment.ProcessorCount >= ProcessorsForMover ? 1 : 0;
        movers = Math.Min(movers, _sockets.Count - 1);
        int large = _sockets.Count < 4 ? Math.Min(1, _sockets.Count - 1) : _sockets.Count / 2;
        large = Math.Max(large, movers);
        int small = _sockets.Count - large;
        _small = [.. _sockets.Take(small).Select(socket => Make(socket, splice: false))];
        _movers = [.. Enumerable.Range(0, movers).Select(number => new Mover(number, MailboxCapacity, loop, _finished, this))];
        if (movers == 0)
        {
            _large = [.. _sockets.Skip(small).Select(socket => Make(socket, splice: true))];
        }

        for (int i = small; i < _sockets.Count && movers > 0; i++)
        {
            _movers[(i - small) % movers].Add(_sockets[i].Socket, _sockets[i].Negotiated.StructuredReplies);
        }

        foreach (NbdConnection connection in _small.Concat(_large))
        {
            connection.Start();
        }

        foreach (Mover mover in _movers)
        {
            mover.Start();
        }

        NbdConnection Make(NegotiatedSocket socket, bool splice) =>
            new(loop, socket.Socket, socket.Negotiated.StructuredReplies, splice, this);
    }

    /// <summary>Commands sent on each connection so far. The numbers may lag behind by a few.</summary>
    public IReadOnlyList<long> RequestsPerConnection =>
        [.. _small.Concat(_large).Concat(_movers.SelectMany(mover => mover.Connections)).Select(c => c.Requests)];

    /// <inheritdoc/>
    public void Submit(BlockRequest request)
    {
        if (_closedError != 0)
        {
            request.Complete(_closedError);
            return;
        }

        if (request.Buffer.Length >= _options.LargeBytes && TrySubmitLarge(request))
        {
            return;
        }

        long count = _smallCount++;
        if (count % LoanEvery == LoanEvery - 1 && TrySubmitLarge(request))
        {
            return;
        }

        _small[(int)(count / Batch % _small.Length)].Submit(request);
    }

    /// <inheritdoc/>
    public void EndTurn()
    {
        while (_finished!.TryTake(out BlockRequest? request))
        {
            request.Complete(request.TransferError);
        }

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

    /// <inheritdoc/>
    void IConnectionOwner.OnRequestEnded(BlockRequest request, int error) => request.Complete(error);

    /// <inheritdoc/>
    void IConnectionOwner.OnErrorText(BlockRequest request, int error, ReadOnlySpan<byte> text)
    {
        // At the level of details: a server with a bad disk may send one per request.
        if (_logger.IsEnabled(LogLevel.Debug))
        {
            Log.ServerError(
                _logger, request.Operation, request.Length, request.Offset, Errno.Name(error), NbdText.Sanitize(text, MaximumErrorText));
        }
    }

    /// <inheritdoc/>
    void IConnectionOwner.OnServerShutdown(NbdConnection connection) => OnLoop(() =>
    {
        if (_closedError == 0)
        {
            _closedError = BlockErrno.ESHUTDOWN;
            Log.ServerShutsDown(_logger);
            _failed.TrySetResult(new NbdDisconnectedException("the server is shutting down"));

            // It said so on one connection, and waits for all of them to leave.
            foreach (NbdConnection own in _small.Concat(_large))
            {
                own.BeginShutdown();
            }

            foreach (Mover mover in _movers)
            {
                mover.Post(moved => moved.BeginShutdown());
            }
        }
    });

    /// <inheritdoc/>
    void IConnectionOwner.OnConnectionFailed(NbdConnection connection, NbdException reason) => OnLoop(() => Fail(reason));

    private bool TrySubmitLarge(BlockRequest request)
    {
        if (_movers.Length > 0)
        {
            _nextLarge = (_nextLarge + 1) % _movers.Length;
            _movers[_nextLarge].Submit(request);
            return true;
        }

        if (_large.Length > 0)
        {
            _nextLarge = (_nextLarge + 1) % _large.Length;
            _large[_nextLarge].Submit(request);
            return true;
        }

        return false;
    }

    /// <summary>Ends all connections: the server is gone, or can't be trusted any more.</summary>
    private void Fail(NbdException reason)
    {
        if (_isClosing || _hasFailed)
        {
            return;
        }

        _hasFailed = true;
        _failed.TrySetResult(reason);
        _closedError = BlockErrno.EIO;
        Log.ExportFailed(_logger, reason.Message);
        foreach (NbdConnection connection in _small.Concat(_large))
        {
            connection.Fail(reason);
        }

        foreach (Mover mover in _movers)
        {
            if (!mover.Post(connection => connection.Fail(reason)))
            {
                mover.Abort(reason);
            }
        }
    }

    private void OnLoop(Action action)
    {
        if (_loop!.IsLoopThread)
        {
            action();
        }
        else
        {
            _loop.Post(action);
        }
    }
}
