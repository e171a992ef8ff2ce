using NbdFuse.Client.Transmission;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <content>The control plane of a recovery: connects and negotiates anew until there is a server.</content>
public sealed partial class NbdExport
{
    /// <summary>
    /// After this much time in the ready state, in milliseconds, a loss is a new one: the first attempt is made at once, and
    /// time limits begin anew. Earlier losses are those of a server that goes on failing.
    /// </summary>
    private const long StableMs = 1000;

    private readonly CancellationTokenSource _stop = new();
    private ReconnectBackoff? _backoff;
    private Task _reconnecting = Task.CompletedTask;
    private long _readySinceMs;
    private int _attempts;

    private async Task ReconnectAsync(
        ConnectionSet? old, ConnectionFence? fence, ReconnectBackoff backoff, long deadlineMs, int generation, CancellationToken stop)
    {
        List<NegotiatedSocket>? sockets = null;
        try
        {
            sockets = await SearchAsync(backoff, deadlineMs, stop).ConfigureAwait(false);
            int unfenced = fence is null ? 0 : await fence.Passed.WaitAsync(stop).ConfigureAwait(false);
            old?.Retire();
            old = null;
            while (sockets is not null && !TryHandOver(sockets, unfenced, generation))
            {
                Leave(sockets);
                sockets = null;
                sockets = await SearchAsync(backoff, deadlineMs, stop).ConfigureAwait(false);
            }

            sockets = null;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Closed meanwhile: what follows frees what is left.
        }
        catch (Exception e)
        {
            // A fault of this program must not leave everybody waiting for ever.
            var reason = new NbdDisconnectedException($"the reconnection failed: {e.GetType().Name}: {e.Message}" + Loss());
            _loop!.Post(() => Fail(reason));
        }

        if (sockets is not null)
        {
            Leave(sockets);
        }

        if (old is not null)
        {
            await RetireAsync(old, fence).ConfigureAwait(false);
        }
    }

    /// <summary>Frees a set once its fence, which its loop watches, has been taken down.</summary>
    private static async Task RetireAsync(ConnectionSet old, ConnectionFence? fence)
    {
        try
        {
            await (fence?.Passed ?? Task.CompletedTask).WaitAsync(LoopTimeout).ConfigureAwait(false);
            old.Retire();
        }
        catch (TimeoutException)
        {
            // A loop that hangs may still use it when it wakes: better to leak than to close under it.
        }
    }

    /// <summary>Makes connections of sockets, here, where a shortage is no more than a failed attempt, and hands them to the loop.</summary>
    /// <returns>False when there were no resources for it.</returns>
    private bool TryHandOver(List<NegotiatedSocket> sockets, int unfenced, int generation)
    {
        ConnectionSet set;
        try
        {
            set = NewSet(generation, sockets);
        }
        catch (Exception e) when (IsShortage(e))
        {
            Log.AttemptFailed(_logger, e.Message);
            return false;
        }

        int connections = sockets.Count;
        NbdExportInfo found = sockets[0].Negotiated.Export;
        if (!_loop!.Post(() => Adopt(set, connections, unfenced, found)))
        {
            set.Dispose();
        }

        return true;
    }

    private static bool IsShortage(Exception e) => e is PosixException or OutOfMemoryException or ThreadStartException;

    /// <summary>Tries until there is a server with the export.</summary>
    /// <returns>Its connections; null when the export has failed instead.</returns>
    private async Task<List<NegotiatedSocket>?> SearchAsync(ReconnectBackoff backoff, long deadlineMs, CancellationToken stop)
    {
        string last = "no attempt was possible";
        while (true)
        {
            TimeSpan delay = backoff.Next(MonotonicClock.Milliseconds);
            long leftMs = Math.Max(0, deadlineMs - MonotonicClock.Milliseconds);
            if (delay.TotalMilliseconds > leftMs)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(leftMs), stop).ConfigureAwait(false);
                string reached = last;
                _loop!.Post(() => EndTime(reached));
                if (_options.OnTimeout == NbdTimeoutAction.Error)
                {
                    return null;
                }

                deadlineMs = long.MaxValue;
            }

            await Task.Delay(delay, stop).ConfigureAwait(false);
            (List<NegotiatedSocket>? sockets, string? reason) = await TryOpenAsync(backoff, deadlineMs, stop).ConfigureAwait(false);
            Interlocked.Increment(ref _attempts);
            if (sockets is null)
            {
                if (last != reason)
                {
                    // The first time and when it changes: a line each second for a week helps nobody.
                    Log.AttemptFailed(_logger, reason!);
                    last = reason!;
                }

                continue;
            }

            if (SameExport.Difference(Negotiated.Export, sockets[0].Negotiated.Export) is { } difference)
            {
                Leave(sockets);
                _loop!.Post(() => Fail(new NbdDisconnectedException(
                    $"the server has another export than before: {difference}; nothing was written to it{Loss()}; check the server, and mount again")));
                return null;
            }

            return sockets;
        }
    }

    private async Task<(List<NegotiatedSocket>? Sockets, string? Reason)> TryOpenAsync(
        ReconnectBackoff backoff, long deadlineMs, CancellationToken stop)
    {
        using var attempt = CancellationTokenSource.CreateLinkedTokenSource(stop);
        long leftMs = Math.Max(1, deadlineMs - MonotonicClock.Milliseconds);
        TimeSpan timeout = backoff.AttemptTimeout;
        attempt.CancelAfter(timeout.TotalMilliseconds < leftMs ? timeout : TimeSpan.FromMilliseconds(leftMs));
        List<NegotiatedSocket> sockets = [];
        try
        {
            // Another address of the same name may be another server, with another copy of the disk.
            bool anyAddress = Info.IsReadOnly || _options.Shared;
            await OpenAllAsync(_transport, sockets, _options, anyAddress, _logger, attempt.Token).ConfigureAwait(false);
            return (sockets, null);
        }
        catch (Exception e) when (e is NbdException || IsShortage(e))
        {
            Leave(sockets);
            return (null, e.Message);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            if (sockets.Count > 0)
            {
                // The export works with the one; it was a further connection that took so long.
                return (sockets, null);
            }

            backoff.NoteTimeout();
            return (null, $"no answer within {timeout.TotalSeconds:0.###} s");
        }
        catch (OperationCanceledException)
        {
            Leave(sockets);
            throw;
        }
    }
}
