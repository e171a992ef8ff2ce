using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using NbdFuse.Block;
using NbdFuse.Client.Transmission;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <content>The data plane while the server is there: requests to connections, and what their ends mean.</content>
public sealed partial class NbdExport : IConnectionSetOwner
{
    /// <summary>
    /// Processors from which on a mover pays. With two, both are busy with the application and a local server, and a loop
    /// that splices by itself measured 5 to 10 % faster at 128 KiB and 1 MiB.
    /// </summary>
    private const int ProcessorsForMover = 4;

    /// <summary>Characters of a server's error text that are shown.</summary>
    private const int MaximumErrorText = 256;

    // A request is the device's from Submit to Complete, and is in one place: at a connection (counted), held, or waiting for
    // room in the log. _order numbers them as they come.
    private readonly List<BlockRequest> _held = new(1024);
    private readonly WriteLog? _log;
    private readonly Fingerprint? _fingerprint;
    private readonly BlockRequest _ownFlush = OwnRequest(BlockRequestMarks.OwnFlush);
    private EventLoop? _loop;
    private ConnectionSet? _set;
    private BlockRequestList _waitingForLog;
    private int _connections;
    private long _order;
    private int _atConnections;

    // Changes that the server has acknowledged, and how many of them a FLUSH has made durable.
    private long _acknowledged;
    private long _durable;

    // One FLUSH is at the server at a time. Those that come meanwhile share the next one. With two, the success of the second
    // might be heard before the failure of the first, and mean nothing.
    private readonly List<BlockRequest> _flushQueue = new(64);
    private bool _isFlushing;

    // A FLUSH failed: what it should have made durable may be gone from the server's memory, though the next one succeeds.
    private bool _mustResend;

    // Changes whose effect nobody knows (failed, or answered EINTR after they were sent), and how many a FLUSH has settled.
    private long _unclear;
    private long _unclearFlushed;
    private long _unclearSettled;
    private bool _sawTrim;
    private bool _mayHaveLost;
    private bool _isOwnFlushing;
    private bool _wantsOwnFlush;
    private int _closedError;

    /// <summary>Takes over the loop's side of the connections. On the loop's thread, or before it runs.</summary>
    /// <param name="loop">The loop on which requests are submitted and completed.</param>
    public void Start(EventLoop loop)
    {
        _loop = loop;
        _set = NewSet(1, _sockets);
        _sockets = [];
        _set.Start();
        _phase = ExportPhase.Ready;
        _stateSinceMs = loop.NowMs;
        _readySinceMs = loop.NowMs;
        _state = NbdExportState.Ready;
    }

    /// <summary>Commands sent on each connection so far. The numbers may lag behind by a few.</summary>
    public IReadOnlyList<long> RequestsPerConnection => [.. (Volatile.Read(ref _set)?.All ?? []).Select(c => c.Requests)];

    /// <inheritdoc/>
    public void Submit(BlockRequest request)
    {
        request.DeviceOrder = ++_order;
        request.DeviceState = 0;
        if (_phase == ExportPhase.Ready)
        {
            Route(request);
        }
        else if (_closedError != 0)
        {
            request.Complete(_closedError);
        }
        else
        {
            Hold(request);
        }
    }

    /// <inheritdoc/>
    public void EndTurn()
    {
        _set?.TakeFinished();
        if (_phase != ExportPhase.Ready || _held.Count > 0 || _flushQueue.Count > 0)
        {
            Advance();
        }

        _set?.Flush();
    }

    /// <inheritdoc/>
    void IConnectionSetOwner.OnRequestEnded(BlockRequest request, int error)
    {
        _atConnections--;
        if (error == NbdConnection.Lost || (error == BlockErrno.ESHUTDOWN && _canRecover))
        {
            TakeBack(request);
            return;
        }

        if (request.DeviceOrder < 0)
        {
            EndOwn(request, error);
            return;
        }

        if (request.IsMutating)
        {
            EndChange(request, error);
        }
        else if (request.Operation == BlockOperation.Flush)
        {
            EndFlush(request, error);
        }
        else if (_fingerprint is not null && _fingerprint.IsPending(request))
        {
            EndSample(request, error);
        }

        request.Complete(error);
    }

    /// <inheritdoc/>
    void IConnectionSetOwner.OnErrorText(BlockRequest request, int error, ReadOnlySpan<byte> text)
    {
        // At the level of details: a server with a bad disk may send one per request.
        if (_logger.IsEnabled(LogLevel.Debug))
        {
            Log.ServerError(
                _logger, request.Operation, request.Length, request.Offset, Errno.Name(error), NbdText.Sanitize(text, MaximumErrorText));
        }
    }

    // Never completed, so that the ready list is never used.
    private static BlockRequest OwnRequest(long mark) => new(new ReadyList(), 0) { DeviceOrder = mark };

    private ConnectionSet NewSet(int generation, IReadOnlyList<NegotiatedSocket> sockets)
    {
        int movers = _options.Movers >= 0 ? _options.Movers : Environment.ProcessorCount >= ProcessorsForMover ? 1 : 0;
        return new ConnectionSet(generation, _loop!, sockets, movers, _options.LargeBytes, this);
    }

    /// <summary>Sends a request, or puts it where it waits for its turn.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Route(BlockRequest request)
    {
        if (request.IsMutating)
        {
            _fingerprint?.Forget(request.Offset, request.End);
            _sawTrim |= request.Operation == BlockOperation.Trim;
            if (_log is not null && !TryReserve(request))
            {
                return;
            }
        }
        else if (request.Operation == BlockOperation.Read)
        {
            if (_fingerprint is not null && MaySampleReads && _fingerprint.WantsRead(request, _loop!.NowMs))
            {
                // It has to come by the buffer, to be looked at; it is one of many.
                request.Sink = null;
            }
        }
        else if (request.Operation == BlockOperation.Flush && !MayFlush(request))
        {
            return;
        }

        _atConnections++;
        _set!.Submit(request);
    }

    private void SubmitOwn(BlockRequest request)
    {
        _atConnections++;
        _set!.Submit(request);
    }

    private bool TryReserve(BlockRequest request)
    {
        if ((request.DeviceState & BlockRequestMarks.Reserved) != 0)
        {
            return true;
        }

        if (!_waitingForLog.IsEmpty || !_log!.TryReserve(request))
        {
            _waitingForLog.AddLast(request);
            Tick();
            StartOwnFlush();
            return false;
        }

        request.DeviceState |= BlockRequestMarks.Reserved;
        return true;
    }

    // What was trimmed may read differently each time; a change with an unknown end may be undone by a crash.
    private bool MaySampleReads => !_sawTrim && _unclear == _unclearSettled;

    private bool MayFlush(BlockRequest request)
    {
        if (_isFlushing)
        {
            request.DeviceMark = _acknowledged;
            _flushQueue.Add(request);
            Tick();
            return false;
        }

        if (_mayHaveLost)
        {
            _mayHaveLost = false;
            request.Complete(BlockErrno.EIO);
            return false;
        }

        if (_mustResend && _log is { Count: > 0 })
        {
            Hold(request);
            BeginResend();
            return false;
        }

        MarkFlush(request);
        return true;
    }

    private void MarkFlush(BlockRequest request)
    {
        _isFlushing = true;
        _unclearFlushed = _unclear;
        request.DeviceMark = _acknowledged;
    }

    private void EndChange(BlockRequest request, int error)
    {
        _fingerprint?.Forget(request.Offset, request.End);
        if (error != 0)
        {
            // A server knows no EINTR: that one was withdrawn, and not sent unless over an earlier connection.
            _unclear += error == BlockErrno.EINTR && (request.DeviceState & BlockRequestMarks.Sent) == 0 ? 0 : 1;
            Unreserve(request);
            return;
        }

        _acknowledged++;
        if (_log is not null)
        {
            request.DeviceState &= ~BlockRequestMarks.Reserved;
            _log.Append(request);
            if (_log.IsHalfFull || !_waitingForLog.IsEmpty)
            {
                StartOwnFlush();
            }
        }

        if (_fingerprint is not null && request.Operation == BlockOperation.Write)
        {
            _fingerprint.NoteWrite(request, _acknowledged, _durable, _loop!.NowMs);
        }
    }

    private void Unreserve(BlockRequest request)
    {
        if ((request.DeviceState & BlockRequestMarks.Reserved) != 0)
        {
            request.DeviceState &= ~BlockRequestMarks.Reserved;
            _log!.Unreserve(request);
            PumpWaiting();
        }
    }

    private void EndFlush(BlockRequest request, int error)
    {
        _isFlushing = false;
        if (error == 0)
        {
            _durable = Math.Max(_durable, request.DeviceMark);
            _unclearSettled = _unclearFlushed;
            _log?.ReleaseUntil(_durable);
            _wantsOwnFlush = false;
        }
        else if (error == BlockErrno.EINTR)
        {
            // Withdrawn before it was sent: it says nothing about anything, and nobody else may be answered by it.
            PumpFlushes();
            return;
        }
        else
        {
            _mustResend = _log is { Count: > 0 };
        }

        // Those that came after the last change that this one covers are answered by it, too.
        for (int i = 0; i < _flushQueue.Count; i++)
        {
            if (_flushQueue[i].DeviceMark <= request.DeviceMark)
            {
                _flushQueue[i].Complete(_flushQueue[i].IsAbandoned ? BlockErrno.EINTR : error);
                _flushQueue.RemoveAt(i--);
            }
        }

        PumpWaiting();
        PumpFlushes();
        if (error == 0 && _log is not null && (!_waitingForLog.IsEmpty || _log.IsHalfFull))
        {
            StartOwnFlush();
        }
    }

    /// <summary>Sends the next FLUSH, which answers all that wait.</summary>
    private void PumpFlushes()
    {
        while (!_isFlushing && _flushQueue.Count > 0 && _phase == ExportPhase.Ready)
        {
            BlockRequest next = _flushQueue[0];
            _flushQueue.RemoveAt(0);
            Route(next);
        }
    }

    private void EndSample(BlockRequest request, int error)
    {
        if (error == 0 && MaySampleReads && _fingerprint!.IsPendingValid)
        {
            // What no entry of the log touches depends on nothing that could be lost.
            bool depends = _log is null ? _acknowledged > _durable : _log.Touches(request.Offset, request.End);
            _fingerprint.EndRead(request, depends ? _acknowledged : _durable, _durable, _loop!.NowMs);
        }
        else
        {
            _fingerprint!.DropRead();
        }
    }

    /// <summary>Starts a FLUSH of the export's own, so that the log does not fill up.</summary>
    private void StartOwnFlush()
    {
        if (_isOwnFlushing || _log!.Count == 0)
        {
            return;
        }

        if (_phase != ExportPhase.Ready || _isFlushing || _loop!.NowMs < _flushNotBeforeMs)
        {
            _wantsOwnFlush = true;
            Tick();
            return;
        }

        if (_mustResend)
        {
            _wantsOwnFlush = true;
            BeginResend();
            return;
        }

        _wantsOwnFlush = false;
        _isOwnFlushing = true;
        _ownFlush.DeviceState = 0;
        _ownFlush.Operation = BlockOperation.Flush;
        MarkFlush(_ownFlush);
        SubmitOwn(_ownFlush);
    }

    private void EndOwnFlush(int error)
    {
        _isOwnFlushing = false;
        if (error != 0)
        {
            // Ever more rarely: each one stops everything and writes the log again, and a full disk does not get better by it.
            _flushAgainMs = Math.Min(Math.Max(2 * _flushAgainMs, FirstFlushAgainMs), LongestFlushAgainMs);
            _flushNotBeforeMs = _loop!.NowMs + _flushAgainMs;
            _wantsOwnFlush = true;
            Log.OwnFlushFailed(_logger, Errno.Name(error), _log!.Bytes, _flushAgainMs / 1000);
            Tick();
        }
        else
        {
            _flushAgainMs = 0;
        }

        EndFlush(_ownFlush, error);
    }

    /// <summary>Sends changes for which there is room now.</summary>
    private void PumpWaiting()
    {
        while (_phase == ExportPhase.Ready && _waitingForLog.First is { } next)
        {
            if (next.IsAbandoned)
            {
                _ = _waitingForLog.TryTakeFirst(out _);
                next.Complete(BlockErrno.EINTR);
                continue;
            }

            if (!_log!.TryReserve(next))
            {
                return;
            }

            _ = _waitingForLog.TryTakeFirst(out _);
            next.DeviceState |= BlockRequestMarks.Reserved;
            _fingerprint?.Forget(next.Offset, next.End);
            _atConnections++;
            _set!.Submit(next);
        }
    }
}
