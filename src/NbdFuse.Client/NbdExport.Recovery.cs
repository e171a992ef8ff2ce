using NbdFuse.Block;
using NbdFuse.Client.Transmission;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <content>
/// The data plane while the server is not there: requests are kept, the log is written again, then they follow in order.
/// </content>
public sealed partial class NbdExport : ITimerTarget
{
    /// <summary>How often requests that wait are looked at, in milliseconds: their callers may have gone.</summary>
    private const int TickMs = 100;

    /// <summary>Time between two FLUSHes of the export's own when the server fails them, in milliseconds; doubled each time.</summary>
    private const int FirstFlushAgainMs = 1000;

    /// <summary>Most time between two FLUSHes of the export's own, in milliseconds.</summary>
    private const int LongestFlushAgainMs = 30_000;

    private ExportPhase _phase = ExportPhase.Idle;
    private NbdException? _cause;
    private ConnectionFence? _fence;
    private bool _isTicking;
    private long _phaseSinceMs;
    private long _flushNotBeforeMs;
    private long _flushAgainMs;
    private long _deadlineMs = long.MaxValue;

    private static NbdDisconnectedException Closed() => new("the export was closed while requests were in flight");

    /// <inheritdoc/>
    void IConnectionSetOwner.OnServerShutdown(ConnectionSet set)
    {
        if (!ReferenceEquals(set, _set) || _closedError != 0)
        {
            return;
        }

        if (!_canRecover)
        {
            _closedError = BlockErrno.ESHUTDOWN;
            _phase = ExportPhase.Closed;
            Log.ServerShutsDown(_logger);
            var reason = new NbdDisconnectedException("the server is shutting down");
            ChangeState(NbdExportState.Failed, reason.Message);
            _failed.TrySetResult(reason);

            // It said so on one connection, and waits for all of them to leave.
            set.BeginShutdown();
            EndAllHeld();
        }
        else if (_phase is ExportPhase.Ready or ExportPhase.Quiescing)
        {
            _cause = new NbdDisconnectedException("the server is shutting down (ESHUTDOWN)");
            EnterRecovering(ExportPhase.Leaving);
            set.BeginShutdown();
        }
        else if (_phase is ExportPhase.Checking or ExportPhase.Replaying)
        {
            GiveUp(new NbdDisconnectedException("the server is shutting down (ESHUTDOWN)"));
        }
    }

    /// <inheritdoc/>
    void IConnectionSetOwner.OnConnectionFailed(ConnectionSet set, NbdConnection connection, NbdException reason)
    {
        if (!ReferenceEquals(set, _set) || _isClosing)
        {
            return;
        }

        switch (_phase)
        {
            case ExportPhase.Closed when _hasFailed:
            case ExportPhase.Draining:
            case ExportPhase.Leaving:
                return;
            case ExportPhase.Ready or ExportPhase.Quiescing
                when _canRecover && set.Alive > 0 && connection.Failure is not null && reason is not NbdProtocolException:
                LoseOne(set, connection, reason);
                return;
            default:
                GiveUp(reason);
                return;
        }
    }

    /// <inheritdoc/>
    void ITimerTarget.OnTimer(long nowMs)
    {
        _isTicking = false;
        WithdrawAbandoned();
        if (_phase == ExportPhase.Leaving && nowMs - _phaseSinceMs >= _options.FenceTimeout.TotalMilliseconds)
        {
            GiveUp(_cause!);
        }

        if (_phase is ExportPhase.Checking or ExportPhase.Replaying && _state == NbdExportState.Recovering && nowMs >= _deadlineMs)
        {
            // The search has its own look at the time; here the server is there, and does not answer.
            EndTime("it accepts connections and does not answer");
        }

        if (_wantsOwnFlush && _phase == ExportPhase.Ready)
        {
            _wantsOwnFlush = false;
            StartOwnFlush();
        }

        if (!_waitingForLog.IsEmpty || _held.Count > 0 || _flushQueue.Count > 0 || _wantsOwnFlush || HasLimit)
        {
            Tick();
        }
    }

    // The server is there, and might never answer.
    private bool HasLimit => _phase is ExportPhase.Leaving or ExportPhase.Checking or ExportPhase.Replaying;

    private void Hold(BlockRequest request)
    {
        _held.Add(request);
        Tick();
    }

    private void Tick()
    {
        if (!_isTicking && !_isClosing)
        {
            _isTicking = true;
            _loop!.Schedule(this, _loop.NowMs + TickMs);
        }
    }

    /// <summary>Takes a request back from a connection that could not finish it.</summary>
    private void TakeBack(BlockRequest request)
    {
        if (request.IsMutating && request.DeviceOrder > 0)
        {
            // A READ may have seen its place while it was under way, and the server may have it or not.
            _fingerprint?.Forget(request.Offset, request.End);
        }
        else if (request.Operation == BlockOperation.Flush)
        {
            // If it failed over there, nobody heard of it, and the next one would succeed and mean nothing.
            _isFlushing = false;
            _mustResend |= (request.DeviceState & BlockRequestMarks.Sent) != 0 && _log is { Count: > 0 };
        }

        if (request.DeviceOrder < 0)
        {
            TakeBackOwn(request);
        }
        else if (_closedError != 0 || !_canRecover)
        {
            EndUnsent(request, _closedError != 0 ? _closedError : BlockErrno.EIO);
        }
        else
        {
            Hold(request);
        }
    }

    private void TakeBackOwn(BlockRequest request)
    {
        switch (request.DeviceOrder)
        {
            case BlockRequestMarks.OwnFlush:
                _isOwnFlushing = false;
                _wantsOwnFlush = true;
                Tick();
                break;
            case BlockRequestMarks.Replay:
                _freeReplays.Push(request);
                break;
            case BlockRequestMarks.Probe:
                OnProbeLost();
                break;
        }
    }

    private void EndOwn(BlockRequest request, int error)
    {
        switch (request.DeviceOrder)
        {
            case BlockRequestMarks.OwnFlush:
                EndOwnFlush(error);
                break;
            case BlockRequestMarks.Replay:
                EndReplay(request, error);
                break;
            case BlockRequestMarks.Check:
                EndCheck(request, error);
                break;
            case BlockRequestMarks.Probe:
                OnProbeAnswered();
                break;
        }
    }

    /// <summary>Ends a request that is at no connection.</summary>
    private void EndUnsent(BlockRequest request, int error)
    {
        if (request.IsMutating)
        {
            if ((request.DeviceState & BlockRequestMarks.Sent) != 0)
            {
                _fingerprint?.Forget(request.Offset, request.End);
                _unclear++;
            }

            Unreserve(request);
        }
        else if (_fingerprint is not null && _fingerprint.IsPending(request))
        {
            _fingerprint.DropRead();
        }

        request.Complete(error);
    }

    /// <summary>
    /// Ends requests whose callers were answered already. A change that the server may have seen keeps its place, so that no
    /// other overtakes it, until nothing of the old connections can act any more.
    /// </summary>
    private void WithdrawAbandoned()
    {
        for (int i = _held.Count - 1; i >= 0; i--)
        {
            BlockRequest request = _held[i];
            if (request.IsAbandoned && (!request.IsMutating || (request.DeviceState & BlockRequestMarks.Sent) == 0))
            {
                _held.RemoveAt(i);
                EndUnsent(request, BlockErrno.EINTR);
            }
        }

        for (int i = _flushQueue.Count - 1; i >= 0; i--)
        {
            if (_flushQueue[i].IsAbandoned)
            {
                _flushQueue[i].Complete(BlockErrno.EINTR);
                _flushQueue.RemoveAt(i);
            }
        }

        if (_waitingForLog.IsEmpty)
        {
            return;
        }

        BlockRequestList kept = default;
        while (_waitingForLog.TryTakeFirst(out BlockRequest? request))
        {
            if (request.IsAbandoned)
            {
                request.Complete(BlockErrno.EINTR);
            }
            else
            {
                kept.AddLast(request);
            }
        }

        _waitingForLog = kept;
    }

    /// <summary>The next step, once what it waits for is there. At the end of each turn.</summary>
    private void Advance()
    {
        switch (_phase)
        {
            case ExportPhase.Ready when _openFences == 0 && !_set!.IsFailing:
                RouteHeld();
                PumpFlushes();
                break;
            case ExportPhase.Quiescing when _atConnections == 0 && _openFences == 0 && !_set!.IsFailing:
                StartReplay();
                break;
            case ExportPhase.Leaving when _atConnections == 0:
                GiveUp(_cause!);
                Advance();
                break;
            case ExportPhase.Draining when _atConnections == 0:
                StartReconnecting();
                break;
        }
    }

    /// <summary>The whole set is of no use any more. What it holds comes back; then the search for the server begins.</summary>
    private void GiveUp(NbdException reason)
    {
        if (_closedError != 0)
        {
            return;
        }

        if (!_canRecover)
        {
            Fail(reason);
            return;
        }

        _cause = reason;
        EnterRecovering(ExportPhase.Draining);
        _set?.GiveUp(reason);
        _loop!.Wake();
    }

    private void EnterRecovering(ExportPhase phase)
    {
        SetPhase(phase);
        if (_state != NbdExportState.Recovering)
        {
            // A server that is lost again and again, a moment after it has come back, is one that is lost: neither the time
            // between the attempts nor the time limit begins anew.
            bool wasStable = _loop!.NowMs - _readySinceMs > StableMs;
            if (wasStable || _backoff is null)
            {
                _backoff = new ReconnectBackoff(_loop.NowMs, wasStable, Random.Shared);
                _deadlineMs = _options.ReconnectTimeout == Timeout.InfiniteTimeSpan
                    ? long.MaxValue
                    : _loop.NowMs + (long)_options.ReconnectTimeout.TotalMilliseconds;
            }

            _attempts = 0;
            _replayed = 0;
            ChangeState(NbdExportState.Recovering, _cause!.Message);
        }

        Tick();
    }

    private void SetPhase(ExportPhase phase)
    {
        _phase = phase;
        _phaseSinceMs = _loop!.NowMs;
        if (HasLimit)
        {
            Tick();
        }
    }

    private void StartReconnecting()
    {
        ConnectionSet old = _set!;
        Volatile.Write(ref _set, null);
        SetPhase(ExportPhase.Connecting);
        DropCandidate();
        CancelFences();
        _fence = new ConnectionFence(_loop!);
        _fence.Start(old.All, (long)_options.FenceTimeout.TotalMilliseconds);
        Search(old, _fence);
    }

    private void Search(ConnectionSet? old, ConnectionFence? fence)
    {
        ReconnectBackoff backoff = _backoff!;
        long deadlineMs = _deadlineMs;
        int generation = _generation + 1;
        CancellationToken stop = _stop.Token;
        _reconnecting = Task.Run(() => ReconnectAsync(old, fence, backoff, deadlineMs, generation, stop));
    }

    /// <summary>The control plane has found the server again, and the fence is passed.</summary>
    private void Adopt(ConnectionSet set, int connections, int unfenced)
    {
        if (_phase != ExportPhase.Connecting || _isClosing)
        {
            set.Close(Closed());
            set.Dispose();
            return;
        }

        _fence = null;
        if (unfenced > 0)
        {
            Log.NotFenced(_logger, unfenced, _options.FenceTimeout.TotalSeconds);
        }

        try
        {
            set.Start();
        }
        catch (Exception e) when (IsShortage(e))
        {
            // A shortage of today; an exception on the loop would be the end of everything.
            Log.AttemptFailed(_logger, e.Message);
            set.Close(Closed());
            set.Retire();
            Search(null, null);
            return;
        }

        _generation = set.Generation;
        Volatile.Write(ref _set, set);
        Volatile.Write(ref _connections, connections);
        if (_log is null && _acknowledged > _durable)
        {
            // Nobody can write them again. Whoever asks for durability must not hear that all is well.
            if (!_options.Shared && Info.CanFlush)
            {
                _mayHaveLost = !FailFlushes();
                Log.MayHaveLost(_logger, _acknowledged - _durable);
            }
        }

        // Without a log nobody writes it again; with one, a TRIM is not repeated.
        _fingerprint?.ForgetNewerThan(_durable);
        StartCheck();
    }

    /// <summary>Fails the FLUSHes that wait: what they should cover may be lost.</summary>
    /// <returns>False when there are none.</returns>
    private bool FailFlushes()
    {
        int before = _held.Count + _flushQueue.Count;
        foreach (BlockRequest request in _flushQueue)
        {
            request.Complete(BlockErrno.EIO);
        }

        _flushQueue.Clear();
        for (int i = _held.Count - 1; i >= 0; i--)
        {
            if (_held[i].Operation == BlockOperation.Flush)
            {
                _held[i].Complete(BlockErrno.EIO);
                _held.RemoveAt(i);
            }
        }

        return _held.Count < before;
    }

    /// <summary>The time limit of a recovery has passed.</summary>
    private void EndTime(string last)
    {
        _deadlineMs = long.MaxValue;
        string passed = $"the server did not come back within {_options.ReconnectTimeout.TotalSeconds:0.###} s (--reconnect-timeout); last: {last}";
        if (_options.OnTimeout == NbdTimeoutAction.Error)
        {
            Fail(new NbdDisconnectedException(passed + Loss() + "; mount again when it is there"));
        }
        else
        {
            Log.StillWaiting(_logger, passed);
        }
    }

    /// <summary>All is as it was: requests that waited go out, in the order in which they came.</summary>
    private void Resume()
    {
        bool wasLost = _state != NbdExportState.Ready;
        _mustResend = false;
        SetPhase(ExportPhase.Ready);
        if (wasLost)
        {
            _readySinceMs = _loop!.NowMs;
            _reconnects++;
            ChangeState(NbdExportState.Ready, _cause?.Message ?? string.Empty);
            _cause = null;
        }

        RouteHeld();
        PumpWaiting();
        PumpFlushes();
        if (_wantsOwnFlush)
        {
            StartOwnFlush();
        }

        if (_set is { } set && set.Alive < _wantedConnections)
        {
            StartReplacing();
        }
    }

    private void RouteHeld()
    {
        if (_held.Count == 0)
        {
            return;
        }

        BlockRequest[] held = [.. _held.OrderBy(static request => request.DeviceOrder)];
        _held.Clear();
        foreach (BlockRequest request in held)
        {
            if (request.IsAbandoned)
            {
                // Sent or not: nothing of the old connections can act any more.
                EndUnsent(request, BlockErrno.EINTR);
            }
            else if (_phase == ExportPhase.Ready)
            {
                Route(request);
            }
            else
            {
                Hold(request);
            }
        }
    }

    /// <summary>Ends the export for good: everybody gets an error.</summary>
    private void Fail(NbdException reason)
    {
        if (_isClosing || _hasFailed)
        {
            return;
        }

        _hasFailed = true;
        _closedError = BlockErrno.EIO;
        SetPhase(ExportPhase.Closed);
        _fence?.Cancel();
        ChangeState(NbdExportState.Failed, reason.Message);
        _failed.TrySetResult(reason);
        _set?.GiveUp(reason);
        EndAllHeld();
    }

    private void EndAllHeld()
    {
        foreach (BlockRequest request in _held)
        {
            EndUnsent(request, _closedError);
        }

        _held.Clear();
        foreach (BlockRequest request in _flushQueue)
        {
            request.Complete(_closedError);
        }

        _flushQueue.Clear();
        while (_waitingForLog.TryTakeFirst(out BlockRequest? request))
        {
            request.Complete(_closedError);
        }
    }
}
