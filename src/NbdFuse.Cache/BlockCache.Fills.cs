using NbdFuse.Block;

namespace NbdFuse.Cache;

/// <content>What is asked of the device below: reads that the cache keeps or shares, and reads that pass it by.</content>
public sealed partial class BlockCache
{
    /// <summary>Has a read filled from below, so that others can join it and its granules can be kept.</summary>
    private bool TryFill(BlockRequest request, int stream)
    {
        if (_freeFillCount == 0)
        {
            return false;
        }

        long start = Floor(request.Offset);
        long end = GranuleEnd(request.End - 1);
        bool lends = start == request.Offset && end == request.End;
        if (!lends && (_freeScratchCount == 0 || end - start > _layout.ScratchBytes))
        {
            return false;
        }

        if (!lends && _mutations.Overlaps(start, end))
        {
            // A write beside the read, in the same granule.
            return false;
        }

        Fill fill = _fills[_freeFills[--_freeFillCount]];
        if (lends)
        {
            fill.Lender = request;
            _scratchOfFill[fill.Id] = -1;
            fill.Prepare(start, end, request.Buffer);
        }
        else
        {
            int scratch = _freeScratches[--_freeScratchCount];
            _scratchOfFill[fill.Id] = scratch;
            fill.Prepare(start, end, _scratches[scratch][..(int)(end - start)]);
            fill.AddWaiter(request);
        }

        _fillRanges.Add(fill.Id, start, end);
        StartBelow(fill, stream, FillKind | (uint)fill.Id);
        return true;
    }

    private void StartBelow(Fill fill, int stream, long state)
    {
        fill.StartedAt = _clock.GetTimestamp();
        fill.Stream = stream;
        if (stream >= 0)
        {
            ref ReadStream own = ref _planner![stream];
            fill.StreamSerial = own.Serial;
            if (state < SegmentKind)
            {
                own.Deepest = Math.Max(own.Deepest, ++own.Outstanding);
            }
        }

        fill.Request.Push(this, state);
        _lower.Submit(fill.Request);
    }

    private void FillEnded(Fill fill)
    {
        int error = fill.Request.Error;
        Leave(fill.Stream, fill.StreamSerial);
        if (!fill.IsTainted)
        {
            _fillRanges.Remove(fill.Id);
        }

        if (error == 0)
        {
            Measure(fill.StartedAt);
            if (!fill.IsTainted && _store is not null)
            {
                for (long offset = fill.Start; offset < fill.End; offset += Granule)
                {
                    Keep(offset, GranuleEnd(offset), fill.Content[(int)(offset - fill.Start)..]);
                }

                UpdateHeld();
            }
        }

        while (fill.TryTakeWaiter(out BlockRequest? waiter))
        {
            AnswerFrom(fill, waiter, error);
        }

        BlockRequest? lender = fill.Lender;
        fill.Lender = null;
        int scratch = _scratchOfFill[fill.Id];
        if (scratch >= 0)
        {
            _freeScratches[_freeScratchCount++] = scratch;
        }

        _freeFills[_freeFillCount++] = fill.Id;

        // What failed was its exact range: there is nothing narrower to try.
        lender?.Complete(error);
    }

    /// <summary>Ends one that waited for a read which holds all of its range, or sends it down by itself.</summary>
    private void AnswerFrom(Fill fill, BlockRequest waiter, int error)
    {
        if (!TryLeave(waiter, error))
        {
            fill.Content.Slice((int)(waiter.Offset - fill.Start), (int)waiter.Length).CopyTo(waiter.Buffer.Span);
            waiter.Complete(0);
        }
    }

    /// <summary>Lets one go that has nothing to wait for: its caller has gone, or what it waited for has failed.</summary>
    /// <returns>False when it is to be answered.</returns>
    private bool TryLeave(BlockRequest waiter, int error)
    {
        if (waiter.IsAbandoned)
        {
            waiter.Complete(BlockErrno.EINTR);
            return true;
        }

        if (error == 0)
        {
            return false;
        }

        Statistics.Retries++;
        PassBy(waiter, -1);
        return true;
    }

    private void PassBy(BlockRequest request, int stream)
    {
        if (_planner is not null || _isPrefetching)
        {
            int id = _bypasses.Rent();
            ref Bypass bypass = ref _bypasses[id];
            bypass.StartedAt = _clock.GetTimestamp();
            bypass.Stream = stream;
            if (stream >= 0)
            {
                ref ReadStream own = ref _planner![stream];
                bypass.StreamSerial = own.Serial;
                own.Deepest = Math.Max(own.Deepest, ++own.Outstanding);
            }

            request.Push(this, BypassKind | (uint)id);
        }

        _lower.Submit(request);
    }

    private void BypassEnded(BlockRequest request, int id)
    {
        Bypass bypass = _bypasses[id];
        _bypasses.Return(id);
        Leave(bypass.Stream, bypass.StreamSerial);
        if (request.Error == 0)
        {
            Measure(bypass.StartedAt);
        }
    }

    private void Leave(int stream, long serial)
    {
        if (stream >= 0 && _planner!.IsSame(stream, serial))
        {
            _planner[stream].Outstanding--;
        }
    }

    private void Measure(long startedAt)
    {
        // What a request waited through an outage says nothing about the next one.
        long latency = Math.Min(LongestLatency, (long)((_clock.GetTimestamp() - startedAt) / _ticksPerMicrosecond));
        long smooth = Statistics.LatencyMicroseconds;
        Statistics.LatencyMicroseconds = smooth == 0 ? Math.Max(1, latency) : Math.Max(1, smooth + ((latency - smooth) / 8));
    }

    private Fill? FindLoan(BlockRequest request)
    {
        foreach (Fill fill in _fills)
        {
            if (ReferenceEquals(fill.Lender, request))
            {
                return fill;
            }
        }

        return null;
    }

    /// <summary>
    /// Abandons a read of the cache's own when all whom it serves have been answered by an interrupt: the layers below look at
    /// that, and a device that can't make progress ends it, and with it frees the caller's slot.
    /// </summary>
    /// <returns>It has ended.</returns>
    private bool TryGiveUp(Fill fill)
    {
        if (fill.HasWaiters || fill.Lender is { IsAbandoned: false })
        {
            return false;
        }

        // Nobody may join it any more.
        if (!fill.IsTainted)
        {
            fill.IsTainted = true;
            _fillRanges.Remove(fill.Id);
        }

        fill.Request.IsAbandoned = true;
        return _lower is IRequestWithdrawal lower && lower.TryWithdraw(fill.Request);
    }

    private bool RemoveWaiter(BlockRequest request)
    {
        foreach (Fill fill in _fills)
        {
            if (fill.HasWaiters && fill.RemoveWaiter(request))
            {
                TryGiveUp(fill);
                return true;
            }
        }

        foreach (Fill segment in _segments)
        {
            if (segment.HasWaiters && segment.RemoveWaiter(request))
            {
                return true;
            }
        }

        return false;
    }
}
