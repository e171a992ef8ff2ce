using NbdFuse.Block;
using NbdFuse.Client.Transmission;

namespace NbdFuse.Client;

/// <content>Requests that are at no connection: they wait for the server, for room in the log, or for a FLUSH under way.</content>
public sealed partial class NbdExport
{
    private void Hold(BlockRequest request)
    {
        _held.Add(request);
        Tick();
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

    // By hand: a sort of the library's is compiled at its first use, which would be now, while the root file system may stand still.
    // They are nearly in order as a rule.
    private static void SortByOrder(BlockRequest[] requests)
    {
        for (int i = 1; i < requests.Length; i++)
        {
            BlockRequest request = requests[i];
            int place = i;
            for (; place > 0 && requests[place - 1].DeviceOrder > request.DeviceOrder; place--)
            {
                requests[place] = requests[place - 1];
            }

            requests[place] = request;
        }
    }

    private void RouteHeld()
    {
        if (_held.Count == 0)
        {
            return;
        }

        BlockRequest[] held = [.. _held];
        _held.Clear();
        SortByOrder(held);
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
