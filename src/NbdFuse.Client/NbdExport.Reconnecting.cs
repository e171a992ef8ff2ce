using NbdFuse.Client.Transmission;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <content>The control plane of a recovery: connects and negotiates anew until there is a server.</content>
public sealed partial class NbdExport
{
    /// <summary>
    /// After this much time in the ready state, in milliseconds, the first attempt is made at once. Earlier losses are
    /// those of a server that goes on failing.
    /// </summary>
    private const long HurryAfterMs = 1000;

    private readonly CancellationTokenSource _stop = new();
    private ReconnectBackoff? _backoff;
    private Task _reconnecting = Task.CompletedTask;
    private long _readySinceMs;
    private long _lostAtMs;
    private int _attempts;

    private async Task ReconnectAsync(
        ConnectionSet old, ConnectionFence fence, ReconnectBackoff backoff, long lostAtMs, CancellationToken stop)
    {
        List<NegotiatedSocket>? sockets = null;
        try
        {
            sockets = await SearchAsync(backoff, lostAtMs, stop).ConfigureAwait(false);
            int unfenced = await fence.Passed.WaitAsync(stop).ConfigureAwait(false);
            old.Retire();
            List<NegotiatedSocket>? found = sockets;
            sockets = null;
            if (found is not null && !_loop!.Post(() => Adopt(found, unfenced)))
            {
                Leave(found);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Closed meanwhile. The loop watches the fence's descriptors no more once it is cancelled.
            await fence.Passed.ConfigureAwait(false);
            old.Retire();
        }
        catch (Exception e)
        {
            // A fault of this program must not leave everybody waiting for ever.
            var reason = new NbdDisconnectedException($"the reconnection failed: {e.GetType().Name}: {e.Message}");
            _loop!.Post(() => Fail(reason));
        }
        finally
        {
            if (sockets is not null)
            {
                Leave(sockets);
            }
        }
    }

    /// <summary>Tries until there is a server with the export.</summary>
    /// <returns>Its connections; null when the export has failed instead.</returns>
    private async Task<List<NegotiatedSocket>?> SearchAsync(ReconnectBackoff backoff, long lostAtMs, CancellationToken stop)
    {
        long deadlineMs = _options.ReconnectTimeout == Timeout.InfiniteTimeSpan
            ? long.MaxValue
            : lostAtMs + (long)_options.ReconnectTimeout.TotalMilliseconds;
        string last = "no attempt was possible";
        while (true)
        {
            TimeSpan delay = backoff.Next(Native.MonotonicClock.Milliseconds);
            long leftMs = Math.Max(0, deadlineMs - Native.MonotonicClock.Milliseconds);
            if (delay.TotalMilliseconds > leftMs)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(leftMs), stop).ConfigureAwait(false);
                string passed = $"the server did not come back within {_options.ReconnectTimeout.TotalSeconds:0.###} s (--reconnect-timeout); last: {last}";
                if (_options.OnTimeout == NbdTimeoutAction.Error)
                {
                    _loop!.Post(() => Fail(new NbdDisconnectedException(passed + Loss() + "; mount again when it is there")));
                    return null;
                }

                Log.StillWaiting(_logger, passed);
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

            if (sockets[0].Negotiated.Export.Size > Negotiated.Export.Size)
            {
                Log.Grown(_logger, Negotiated.Export.Size, sockets[0].Negotiated.Export.Size);
            }

            return sockets;
        }
    }

    private async Task<(List<NegotiatedSocket>? Sockets, string? Reason)> TryOpenAsync(
        ReconnectBackoff backoff, long deadlineMs, CancellationToken stop)
    {
        using var attempt = CancellationTokenSource.CreateLinkedTokenSource(stop);
        long leftMs = Math.Max(1, deadlineMs - Native.MonotonicClock.Milliseconds);
        TimeSpan timeout = backoff.AttemptTimeout;
        attempt.CancelAfter(timeout.TotalMilliseconds < leftMs ? timeout : TimeSpan.FromMilliseconds(leftMs));
        List<NegotiatedSocket> sockets = [];
        try
        {
            await OpenAllAsync(_transport, sockets, _options, _logger, attempt.Token).ConfigureAwait(false);
            return (sockets, null);
        }
        catch (NbdException e)
        {
            Leave(sockets);
            return (null, e.Message);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            Leave(sockets);
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
