using NbdFuse.Block;

namespace NbdFuse.Cache;

/// <content>
/// Reading by a trace: pieces under way, which are joined like segments, and the granules that they brought, each of which leaves
/// with its first use. A piece is never ready: when it has arrived its granules go to <see cref="PrefetchStore"/> before those who
/// waited go on.
/// </content>
public sealed partial class BlockCache
{
    // Reads and writes of others that are below: while there are any, few pieces stand beside them, and beside many none.
    private const int PiecesBesideOthers = 8;
    private const int ManyOthers = 8;

    // Failures in a row: then there is more wrong than one block.
    private const int MostFailures = 4;

    // Granules in one turn that need not be read: it must not take long.
    private const int MostIdleSteps = 256;

    /// <summary>How long nobody may read anything of the trace before its memory is given back.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly PrefetchStore? _held;
    private readonly PrefetchPlan? _plan;
    private readonly int[] _freePieces;
    private readonly int[] _rangeOfPiece;
    private int _freePieceCount;
    private int _reserved;
    private int _failures;
    private long _lastUse;
    private bool _isPrefetching;

    /// <summary>Still has something to read by the trace, or holds something of it.</summary>
    internal bool IsPrefetching => _isPrefetching;

    private int PiecesInFlight => _layout.Pieces - _freePieceCount;

    private int OthersBelow => Fills - _freeFillCount + _bypasses.Rented + _mutations.Count;

    /// <summary>Notes what a reader wants, held or not.</summary>
    private void NotePrefetch(BlockRequest request)
    {
        if (_plan!.Note(request.Offset >> GranuleShift, ((request.End - 1) >> GranuleShift) + 1))
        {
            _lastUse = _clock.GetTimestamp();
        }
    }

    private void Prefetch(PrefetchPlan plan)
    {
        int most = _segments[_layout.Segments].Memory.Length >> GranuleShift;
        int steps = 0;
        while (HasPrefetchBudget() && plan.TryPeek(most, out int index, out long granule, out int count))
        {
            long start = granule << GranuleShift;
            long end = GranuleEnd((granule + count - 1) << GranuleShift);
            if (IsAround(start, end))
            {
                plan.Advance(count);
                if (++steps == MostIdleSteps)
                {
                    return;
                }
            }
            else if (!MakeRoom(plan, count))
            {
                break;
            }
            else
            {
                plan.Advance(count);
                StartPiece(index, start, end);
            }
        }

        if (plan.IsPlanned && PiecesInFlight == 0 && _held!.Count == 0)
        {
            EndPrefetch();
        }
        else if (_clock.GetElapsedTime(_lastUse) > Patience)
        {
            EndPrefetch();
        }
    }

    private bool HasPrefetchBudget()
    {
        int others = OthersBelow;
        return PiecesInFlight < (others == 0 ? _layout.Pieces : others < ManyOthers ? PiecesBesideOthers : 0);
    }

    /// <summary>Tells whether a range is held, being read, or being written.</summary>
    private bool IsAround(long start, long end)
    {
        if (_mutations.Overlaps(start, end) || _fillRanges.Overlaps(start, end) || _segmentRanges.Overlaps(start, end))
        {
            return true;
        }

        for (long offset = start; offset < end; offset += Granule)
        {
            if (FindHeld(offset >> GranuleShift) < 0)
            {
                return false;
            }
        }

        return true;
    }

    private bool MakeRoom(PrefetchPlan plan, int granules)
    {
        PrefetchStore held = _held!;
        while (held.Slots - held.Count - _reserved < granules)
        {
            int oldest = held.Oldest;
            if (oldest < 0 || !plan.IsPassed(held.RangeOf(oldest)))
            {
                return false;
            }

            Statistics.WastedPrefetchedBytes += Granule;
            held.Remove(oldest);
        }

        return true;
    }

    private void StartPiece(int index, long start, long end)
    {
        Fill piece = _segments[_freePieces[--_freePieceCount]];
        int length = (int)(end - start);
        piece.Prepare(start, end, piece.Memory[..length]);
        _rangeOfPiece[piece.Id - _layout.Segments] = index;
        _segmentRanges.Add(piece.Id, start, end);
        _reserved += GranulesIn(piece);
        Statistics.Prefetches++;
        Statistics.PrefetchedBytes += length;
        StartBelow(piece, -1, PieceKind | (uint)piece.Id);
    }

    private void PieceEnded(Fill piece)
    {
        int error = piece.Request.Error;
        _reserved -= GranulesIn(piece);
        if (!piece.IsTainted)
        {
            _segmentRanges.Remove(piece.Id);
        }

        _failures = error == 0 ? 0 : _failures + 1;
        if (error == 0 && !piece.IsTainted && _isPrefetching)
        {
            Measure(piece.StartedAt);
            Hold(piece);
        }
        else
        {
            Statistics.WastedPrefetchedBytes += piece.Length;
        }

        while (piece.TryTakeWaiter(out BlockRequest? waiter))
        {
            if (!TryLeave(waiter, error))
            {
                Resume(waiter);
            }
        }

        _freePieces[_freePieceCount++] = piece.Id;
        UpdateHeld();
        if (_failures >= MostFailures && _isPrefetching)
        {
            EndPrefetch();
        }
    }

    private void Hold(Fill piece)
    {
        int index = _rangeOfPiece[piece.Id - _layout.Segments];
        for (long offset = piece.Start; offset < piece.End; offset += Granule)
        {
            long granule = offset >> GranuleShift;
            int length = (int)(GranuleEnd(offset) - offset);
            if (FindHeld(granule) >= 0)
            {
                Statistics.WastedPrefetchedBytes += length;
                continue;
            }

            int slot = _layout.Slots + _held!.Add(granule, index);
            piece.Content.Slice((int)(offset - piece.Start), length).CopyTo(Slot(slot, Granule));
        }
    }

    /// <summary>After a read that was served from such granules: those that it has read to their end leave.</summary>
    private void UseHeld(BlockRequest request)
    {
        long first = request.Offset >> GranuleShift;
        bool isKept = _store is not null && request.Length < _bypassBytes;
        for (long offset = Floor(request.Offset); offset < request.End; offset += Granule)
        {
            long end = GranuleEnd(offset);
            int slot = _sources[(int)((offset >> GranuleShift) - first)] - _layout.Slots;
            if (slot >= 0 && request.End >= end)
            {
                Statistics.UsedPrefetchedBytes += end - offset;
                if (isKept)
                {
                    Keep(offset, end, Slot(_layout.Slots + slot, Granule));
                }

                _held!.Remove(slot);
            }
        }

        UpdateHeld();
    }

    /// <summary>A write to the range has started: what was read ahead there is worthless.</summary>
    private void DropHeld(long start, long end)
    {
        PrefetchStore held = _held!;
        long first = start >> GranuleShift;
        long last = (end - 1) >> GranuleShift;
        if (last - first < held.Slots)
        {
            for (long granule = first; granule <= last; granule++)
            {
                DropHeldSlot(held.Find(granule));
            }

            return;
        }

        // A trim may be of any length: it is bounded by what is held.
        for (int slot = 0; slot < held.Slots; slot++)
        {
            long granule = held.GranuleOf(slot);
            DropHeldSlot(granule >= first && granule <= last ? slot : -1);
        }
    }

    private void DropHeldSlot(int slot)
    {
        if (slot >= 0)
        {
            _held!.Remove(slot);
            Statistics.Invalidations++;
            Statistics.WastedPrefetchedBytes += Granule;
        }
    }

    /// <summary>Reads no more by the trace, and gives the memory back.</summary>
    private void EndPrefetch()
    {
        _isPrefetching = false;
        _plan!.End();
        Statistics.WastedPrefetchedBytes += (long)_held!.Count << GranuleShift;
        _held.Clear();
        _memory.Release(_layout.PrefetchOffset, (long)_layout.PrefetchSlots << GranuleShift);
        UpdateHeld();
    }

    private static int GranulesIn(Fill piece) => (piece.Length + Granule - 1) >> GranuleShift;
}
