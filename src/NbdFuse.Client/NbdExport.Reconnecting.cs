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
        FoundServer? found = null;
        try
        {
            found = await SearchAsync(backoff, deadlineMs, stop).ConfigureAwait(false);
            int unfenced = fence is null ? 0 : await fence.Passed.WaitAsync(stop).ConfigureAwait(false);
            old?.Retire();
            old = null;
            while (found is not null && !TryHandOver(found, unfenced, generation))
            {
                Leave(found.Sockets);
                found = null;
                found = await SearchAsync(backoff, deadlineMs, stop).ConfigureAwait(false);
            }

            found = null;
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

        if (found is not null)
        {
            Leave(found.Sockets);
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
    private bool TryHandOver(FoundServer found, int unfenced, int generation)
    {
        ConnectionSet set;
        try
        {
            set = NewSet(generation, found.Sockets);
        }
        catch (Exception e) when (IsShortage(e))
        {
            Log.AttemptFailed(_logger, e.Message);
            return false;
        }

        if (!_loop!.Post(() => Adopt(set, found, unfenced)))
        {
            set.Dispose();
        }

        return true;
    }

    private static bool IsShortage(Exception e) => e is PosixException or OutOfMemoryException or ThreadStartException;

    /// <summary>Tries until there is a server with the export.</summary>
    /// <returns>It and its connections; null when the export has failed instead.</returns>
    private async Task<FoundServer?> SearchAsync(ReconnectBackoff backoff, long deadlineMs, CancellationToken stop)
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
            (FoundServer? found, string? reason) = await TryServersAsync(backoff, deadlineMs, stop).ConfigureAwait(false);
            if (found is not null)
            {
                return found;
            }

            if (reason is null)
            {
                string others = _servers.Refusals();
                _loop!.Post(() => Fail(OtherExport(others)));
                return null;
            }

            if (last != reason)
            {
                // The first time and when it changes: a line each second for a week helps nobody.
                Log.AttemptFailed(_logger, reason);
                last = reason;
            }
        }
    }

    // In one server's case as if there were no others.
    private NbdDisconnectedException OtherExport(string others) => new(
        (_servers.Count > 1 ? $"no server has the export that was there before: {others}" : $"the server has another export than before: {others}")
        + $"; nothing was written to it{Loss()}; check the server, and mount again");

    /// <summary>Tries each server once, the last one first.</summary>
    /// <returns>What was found, or why nothing was; neither when none can have the export.</returns>
    private async Task<(FoundServer? Found, string? Reason)> TryServersAsync(ReconnectBackoff backoff, long deadlineMs, CancellationToken stop)
    {
        string? reasons = null;
        bool isAnyLeft = false;
        int first = _servers.Current;
        for (int i = 0; i < _servers.Count; i++)
        {
            int server = (first + i) % _servers.Count;
            if (_servers.IsRefused(server))
            {
                continue;
            }

            (List<NegotiatedSocket>? sockets, string? reason) = await TryOpenAsync(server, backoff, deadlineMs, stop).ConfigureAwait(false);
            Interlocked.Increment(ref _attempts);
            if (sockets is null)
            {
                isAnyLeft = true;
                reasons = reasons is null ? reason : $"{reasons}; {reason}";
                continue;
            }

            if (Difference(server, sockets[0].Negotiated.Export) is not { } difference)
            {
                return (new FoundServer(server, sockets), null);
            }

            Leave(sockets);
            isAnyLeft |= Refuse(server, difference);
        }

        return (null, isAnyLeft ? reasons ?? "no server has the export" : null);
    }

    private string? Difference(int server, NbdExportInfo export)
    {
        // Growth is for the server that was there before, and for others on the same storage.
        bool mayGrow = server == _readyServer || _options.SharedStorage;
        return SameExport.Difference(Negotiated.Export, export)
            ?? (mayGrow || export.Size == Negotiated.Export.Size ? null : $"it has {export.Size} bytes instead of {Negotiated.Export.Size}");
    }

    /// <summary>A server has another export than before. Says so when another one may be used in its place.</summary>
    /// <returns>False when there is none.</returns>
    private bool Refuse(int server, string difference)
    {
        bool isAnyLeft = _servers.Refuse(server, difference);
        if (isAnyLeft)
        {
            Log.ServerSkipped(_logger, _servers.NameOf(server), $"it has another export than before: {difference}");
        }

        return isAnyLeft;
    }

    private async Task<(List<NegotiatedSocket>? Sockets, string? Reason)> TryOpenAsync(
        int server, ReconnectBackoff backoff, long deadlineMs, CancellationToken stop)
    {
        using var attempt = CancellationTokenSource.CreateLinkedTokenSource(stop);
        long leftMs = Math.Max(1, deadlineMs - MonotonicClock.Milliseconds);
        TimeSpan timeout = backoff.AttemptTimeout;
        attempt.CancelAfter(timeout.TotalMilliseconds < leftMs ? timeout : TimeSpan.FromMilliseconds(leftMs));
        List<NegotiatedSocket> sockets = [];
        try
        {
            // Another address of the same name may be another server, with another copy of the disk.
            bool anyAddress = Info.IsReadOnly || _options.Shared || _options.SharedStorage;
            await OpenAllAsync(_servers, server, sockets, _options, anyAddress, _logger, attempt.Token).ConfigureAwait(false);
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
