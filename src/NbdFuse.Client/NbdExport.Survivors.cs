using NbdFuse.Block;
using NbdFuse.Client.Transmission;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <content>
/// One of several connections is lost and others still work: the server runs, so its requests go to the others. A new
/// connection joins only when one of the old ones proves that it leads to the same run of the server.
/// </content>
public sealed partial class NbdExport
{
    /// <summary>How long a new connection has to live to count as one that works, in milliseconds.</summary>
    private const long ReplacementStableMs = 10_000;

    private readonly BlockRequest _probe = OwnRequest(BlockRequestMarks.Probe);
    private readonly List<ConnectionFence> _fences = [];
    private NegotiatedSocket? _candidate;
    private ReconnectBackoff? _replaceBackoff;
    private long _replacedMs;
    private NativeBuffer? _probeBuffer;
    private Task _replacing = Task.CompletedTask;
    private bool _isReplacing;
    private bool _isProbing;
    private int _openFences;

    private void LoseOne(ConnectionSet set, NbdConnection connection, NbdException reason)
    {
        Log.OneLost(_logger, set.Alive + 1, reason.Message);
        Volatile.Write(ref _connections, set.Alive);

        // What it held waits until the server has let go of that connection: a change must not be executed twice, the
        // second time over newer data.
        var fence = new ConnectionFence(_loop!);
        _fences.Add(fence);
        _openFences++;
        fence.Start([connection], (long)_options.FenceTimeout.TotalMilliseconds);
        EventLoop loop = _loop!;
        _ = fence.Passed.ContinueWith(
            passed => loop.Post(() => OnFencePassed(set, connection, fence, passed.Result)),
            CancellationToken.None,
            TaskContinuationOptions.None,
            TaskScheduler.Default);
        StartReplacing();
    }

    private void OnFencePassed(ConnectionSet set, NbdConnection connection, ConnectionFence fence, int unfenced)
    {
        if (!_fences.Remove(fence))
        {
            return;
        }

        _openFences--;

        // A set that lives for months must not keep all that it ever lost; and what does not let go is reset by this.
        set.Discard(connection);
        if (unfenced > 0)
        {
            Log.NotFenced(_logger, unfenced, _options.FenceTimeout.TotalSeconds);
        }
    }

    /// <summary>The whole set was given up: its one fence watches these connections, too.</summary>
    private void CancelFences()
    {
        foreach (ConnectionFence fence in _fences)
        {
            fence.Cancel();
        }

        _fences.Clear();
        _openFences = 0;
    }

    private void StartReplacing()
    {
        if (_isReplacing || _isClosing || Info.Size == 0 || !Negotiated.Export.CanMultiConn || _set is null)
        {
            return;
        }

        if (_replaceBackoff is null || _loop!.NowMs - _replacedMs > ReplacementStableMs)
        {
            // One that is lost a moment after it has joined, as by a server that takes one client only, is not a success.
            _replaceBackoff = new ReconnectBackoff(_loop!.NowMs, hurry: false, Random.Shared);
        }

        _isReplacing = true;
        ConnectionSet set = _set;
        ReconnectBackoff backoff = _replaceBackoff;
        CancellationToken stop = _stop.Token;
        Task task = Task.Run(() => ReplaceAsync(set, backoff, stop));
        _replacing = _replacing.IsCompleted ? task : Task.WhenAll(_replacing, task);
    }

    private async Task ReplaceAsync(ConnectionSet set, ReconnectBackoff backoff, CancellationToken stop)
    {
        NegotiatedSocket? socket = null;
        try
        {
            while (socket is null && ReferenceEquals(Volatile.Read(ref _set), set))
            {
                await Task.Delay(backoff.Next(MonotonicClock.Milliseconds), stop).ConfigureAwait(false);

                // Not in a method of its own: one that returns a reference would be compiled at its first use, during an outage.
                using var attempt = CancellationTokenSource.CreateLinkedTokenSource(stop);
                attempt.CancelAfter(backoff.AttemptTimeout);
                try
                {
                    socket = await _servers.Transport.OpenAgainAsync(HandshakeOf(_options, _servers.ExportOf(_servers.Current)), attempt.Token).ConfigureAwait(false);
                }
                catch (Exception e) when (e is NbdException || IsShortage(e))
                {
                    Log.ReplacementFailed(_logger, e.Message);
                }
                catch (OperationCanceledException) when (!stop.IsCancellationRequested)
                {
                    backoff.NoteTimeout();
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return;
        }
        catch (Exception e)
        {
            // A fault of this program must not be the last that is heard of the lost connection.
            Log.ReplacementFailed(_logger, $"{e.GetType().Name}: {e.Message}");
        }

        if (!_loop!.Post(() => OnReplacement(set, socket)) && socket is not null)
        {
            Leave([socket]);
        }
    }

    private void OnReplacement(ConnectionSet set, NegotiatedSocket? socket)
    {
        if (!ReferenceEquals(set, _set))
        {
            // Of a run that is over; the present one has its own.
            if (socket is not null)
            {
                Leave([socket]);
            }

            return;
        }

        _isReplacing = false;
        if (socket is null)
        {
            return;
        }

        if (SameExport.Difference(Negotiated.Export, socket.Negotiated.Export) is { } difference)
        {
            Log.ReplacementFailed(_logger, $"another export answers: {difference}");
            Leave([socket]);
            return;
        }

        if (_isClosing || _candidate is not null || _phase is not (ExportPhase.Ready or ExportPhase.Quiescing))
        {
            Leave([socket]);
            return;
        }

        _isReplacing = true;
        _candidate = socket;
        SendProbe();
    }

    // On one that works already: only then is it certain that the server has not been restarted in between.
    private void SendProbe()
    {
        if (_isProbing || _candidate is null)
        {
            return;
        }

        int length = (int)Math.Min(Info.MinimumBlock, Info.Size);
        _probeBuffer ??= NativeBuffer.Allocate(length);
        _probe.Operation = BlockOperation.Read;
        _probe.Offset = 0;
        _probe.Length = length;
        _probe.Buffer = _probeBuffer.Memory[..length];
        _isProbing = true;
        Send(_probe);
    }

    private void OnProbeAnswered()
    {
        _isProbing = false;
        if (_candidate is not { } socket || _set is null || _phase is not (ExportPhase.Ready or ExportPhase.Quiescing))
        {
            DropCandidate();
            return;
        }

        _candidate = null;
        _isReplacing = false;
        try
        {
            _set.Add(socket);
        }
        catch (PosixException e)
        {
            Log.ReplacementFailed(_logger, e.Message);
            return;
        }

        _replacedMs = _loop!.NowMs;
        Volatile.Write(ref _connections, _set.Alive);
        Log.Replaced(_logger, _set.Alive);
        if (_set.Alive < _wantedConnections)
        {
            StartReplacing();
        }
    }

    private void OnProbeLost()
    {
        _isProbing = false;
        if (_candidate is not null && _set is { Alive: > 0 } && _phase is ExportPhase.Ready or ExportPhase.Quiescing)
        {
            // Later, from the end of the turn's events: the set may be in the middle of losing this one.
            _loop!.Post(SendProbe);
        }
    }

    private void DropCandidate()
    {
        if (_candidate is { } socket)
        {
            _candidate = null;
            Leave([socket]);
        }

        _isReplacing = false;
    }
}
