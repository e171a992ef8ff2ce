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
    private int _readyServer;
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
            var reason = new NbdDisconnectedException("the server is shutting down" + NoReconnect());
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
        else if (_phase is ExportPhase.Waiting or ExportPhase.Checking or ExportPhase.Replaying)
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

    private void Tick()
    {
        if (!_isTicking && !_isClosing)
        {
            _isTicking = true;
            _loop!.Schedule(this, _loop.NowMs + TickMs);
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
            Fail(NoReconnect() is { Length: > 0 } remedy ? new NbdDisconnectedException(reason.Message + remedy) : reason);
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
    private void Adopt(ConnectionSet set, FoundServer found, int unfenced)
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
        _found = found.Sockets[0].Negotiated.Export;
        _servers.Current = found.Server;
        Volatile.Write(ref _set, set);
        Volatile.Write(ref _connections, found.Sockets.Count);
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
        if (_awaitsTakeOver)
        {
            SetPhase(ExportPhase.Waiting);
            return;
        }

        StartCheck();
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
        AdoptGrowth();
        Rewritten?.Invoke();
        _servers.Forgive();
        if (_readyServer != _servers.Current)
        {
            Log.OtherServer(_logger, _servers.NameOf(_readyServer), Server);
            _readyServer = _servers.Current;
        }

        if (_state == NbdExportState.Connecting)
        {
            BecomeReady();
        }
        else if (wasLost)
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

    // Only where that is not what the user has asked for.
    private string NoReconnect() =>
        _canRecover || _options.ReconnectTimeout == TimeSpan.Zero ? string.Empty : $"; {_servers.Transport.Target.WhyNoReconnect}";

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
}
