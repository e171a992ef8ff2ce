using NbdFuse.Block;

namespace NbdFuse.Cache;

/// <content>Reads: from memory, joined to others, or filled from below.</content>
public sealed partial class BlockCache
{
    // The longest read that is served from memory: more than the kernel sends.
    private const int MaximumGranules = 1024;

    // Microseconds.
    private const long LongestLatency = 1_000_000;

    // A hit saves less than a cache costs that has one in a hundred, when a miss costs no more than this.
    private const long QuickMicroseconds = 2_000;

    private readonly RangeTable _fillRanges = new(Fills);
    private readonly Slab<Bypass> _bypasses = new(Fills);
    private readonly int[] _freeFills = new int[Fills];
    private readonly int[] _freeScratches = new int[CacheMemoryLayout.Scratches];
    private readonly Memory<byte>[] _scratches = new Memory<byte>[CacheMemoryLayout.Scratches];
    private readonly int[] _scratchOfFill = new int[Fills];

    // Where each granule of the read that is being looked at lies: a slot, or the complement of a segment.
    private readonly int[] _sources = new int[MaximumGranules];

    // The same read, as what it is answered from.
    private readonly ReadOnlyMemory<byte>[] _pieces = new ReadOnlyMemory<byte>[MaximumGranules];
    private readonly CacheUse _use = new();
    private readonly Fill[] _fills;
    private int _freeFillCount = Fills;
    private int _freeScratchCount = CacheMemoryLayout.Scratches;

    private enum Place
    {
        Absent,
        PartlyHere,
        UnderWay,
        Here,
    }

    private Fill[] MakeFills(ReadyList ready)
    {
        for (int i = 0; i < _scratches.Length; i++)
        {
            _scratches[i] = _memory.Slice(_layout.ScratchOffset + ((long)i * _layout.ScratchBytes), _layout.ScratchBytes);
            _freeScratches[_scratches.Length - 1 - i] = i;
        }

        var fills = new Fill[Fills];
        for (int i = 0; i < Fills; i++)
        {
            fills[i] = new Fill(ready, i, default);
            _freeFills[Fills - 1 - i] = i;
        }

        return fills;
    }

    private void Read(BlockRequest request)
    {
        int stream = _planner?.Note(request.Offset, request.Length) ?? -1;
        if (_isPrefetching)
        {
            NotePrefetch(request);
        }

        Place place = Locate(request.Offset, request.End, out int segment);
        if (place == Place.PartlyHere && stream >= 0 && TryExtend(stream, request))
        {
            place = Locate(request.Offset, request.End, out segment);
        }

        switch (place)
        {
            case Place.Here:
                _use.Hit();
                Statistics.Hits++;
                Statistics.HitBytes += request.Length;
                Serve(request);
                return;
            case Place.UnderWay:
                _use.Hit();
                Statistics.JoinedPrefetches++;
                if (stream >= 0)
                {
                    _planner!.Stalled(stream, _clock.GetTimestamp());
                }

                _segments[segment].AddWaiter(request);
                return;
        }

        if (_fillRanges.Count > 0)
        {
            int fill = _fillRanges.FindContaining(request.Offset, request.End);
            if (fill >= 0)
            {
                _use.Hit();
                Statistics.Coalesced++;
                _fills[fill].AddWaiter(request);
                return;
            }
        }

        if (place == Place.PartlyHere)
        {
            Statistics.Partial++;
        }
        else
        {
            Statistics.Misses++;
            if (stream < 0 && IsNotWorthIt())
            {
                // As if there were no cache: the request goes down as it is, and nothing is noted of it.
                Statistics.Bypassed++;
                _lower.Submit(request);
                return;
            }

            if (Statistics.LatencyMicroseconds >= _aroundAbove && TryReadAround(request))
            {
                return;
            }
        }

        if (request.Length >= _bypassBytes || _onlyPrefetches || _mutations.Overlaps(request.Offset, request.End) || !TryFill(request, stream))
        {
            Statistics.Bypassed++;
            PassBy(request, stream);
        }
    }

    /// <summary>
    /// Tells whether a read that misses is better left alone: nothing is read again, nothing in order, and the device is quick.
    /// Nothing may be under way that counts the reads of others, or measures by them.
    /// </summary>
    private bool IsNotWorthIt()
    {
        bool isOfNoUse = _use.Miss();
        if (_use.IsRoundOver)
        {
            DropForgottenSegments();
        }

        return isOfNoUse && _store is null or { IsFull: true } && _segmentsInFlight == 0 && !_isPrefetching
            && Statistics.LatencyMicroseconds < QuickMicroseconds;
    }

    /// <summary>Looks where the granules of a range are, into <see cref="_sources"/>.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="end">First byte after it.</param>
    /// <param name="segment">The first segment that is under way, when that is the answer.</param>
    private Place Locate(long offset, long end, out int segment)
    {
        segment = -1;
        long first = offset >> GranuleShift;
        long count = ((end - 1) >> GranuleShift) - first + 1;
        if (count > MaximumGranules || (HeldNothing && _segmentRanges.Count == 0))
        {
            return Place.Absent;
        }

        int last = -1;
        bool isHere = false;
        for (int i = 0; i < count; i++)
        {
            int slot = FindHeld(first + i);
            if (slot >= 0)
            {
                _sources[i] = slot;
                isHere = true;
                continue;
            }

            last = FindSegment((first + i) << GranuleShift, last);
            if (last < 0)
            {
                return isHere || IsAnyHere(first + i + 1, first + count) ? Place.PartlyHere : Place.Absent;
            }

            isHere = true;
            _sources[i] = ~last;
            if (!_segments[last].IsReady && segment < 0)
            {
                segment = last;
            }
        }

        return segment >= 0 ? Place.UnderWay : Place.Here;
    }

    private bool HeldNothing => (_store is null || _store.Count == 0) && (_held is null || _held.Count == 0);

    /// <summary>The slot of a granule that is in memory, for whatever reason, or -1.</summary>
    private int FindHeld(long granule)
    {
        int slot = _store?.FindValid(granule) ?? -1;
        if (slot >= 0 || _held is null)
        {
            return slot;
        }

        slot = _held.Find(granule);
        return slot < 0 ? slot : _layout.Slots + slot;
    }

    /// <summary>For the statistics of short reads; of long ones only the beginning counts.</summary>
    private bool IsAnyHere(long first, long end)
    {
        const int Most = 16;
        for (long granule = first; granule < end && granule < first + Most; granule++)
        {
            if (FindHeld(granule) >= 0 || FindSegment(granule << GranuleShift, -1) >= 0)
            {
                return true;
            }
        }

        return false;
    }

    private int FindSegment(long granule, int guess)
    {
        if (_segmentRanges.Count == 0)
        {
            return -1;
        }

        long end = GranuleEnd(granule);
        return guess >= 0 && _segments[guess].Start <= granule && end <= _segments[guess].End
            ? guess
            : _segmentRanges.FindContaining(granule, end);
    }

    /// <summary>Answers a read whose granules are all in <see cref="_sources"/>.</summary>
    private void Serve(BlockRequest request)
    {
        long first = request.Offset >> GranuleShift;
        bool hasSegments = false;
        bool hasHeld = false;
        int pieces = 0;
        long offset = request.Offset;
        while (offset < request.End)
        {
            int source = _sources[(int)((offset >> GranuleShift) - first)];
            long end;
            if (source >= 0)
            {
                end = Math.Min(request.End, Floor(offset) + Granule);
                _pieces[pieces++] = _memory.Slice(((long)source << GranuleShift) + (offset & (Granule - 1)), (int)(end - offset));
                if (source < _layout.Slots)
                {
                    _store!.Touch(source);
                }
                else
                {
                    hasHeld = true;
                }
            }
            else
            {
                // In one piece up to the segment's end, or to a granule that lies elsewhere.
                hasSegments = true;
                Fill segment = _segments[~source];
                end = offset;
                do
                {
                    end = Math.Min(request.End, GranuleEnd(end));
                }
                while (end < request.End && _sources[(int)((end >> GranuleShift) - first)] == source);
                _pieces[pieces++] = segment.Memory.Slice((int)(offset - segment.Start), (int)(end - offset));
            }

            offset = end;
        }

        Answer(request, _pieces.AsSpan(0, pieces));
        if (hasSegments)
        {
            UseSegments(request);
        }

        if (hasHeld)
        {
            UseHeld(request);
        }

        request.Complete(0);
    }

    /// <summary>Hands pieces of memory on: straight to the front end where it takes them, else into the request's buffer.</summary>
    private static void Answer(BlockRequest request, ReadOnlySpan<ReadOnlyMemory<byte>> pieces)
    {
        if (request.Sink is { } sink && !request.IsAbandoned && sink.TryDeliverPieces(request, pieces))
        {
            request.IsDelivered = true;
            return;
        }

        Span<byte> target = request.Buffer.Span;
        foreach (ReadOnlyMemory<byte> piece in pieces)
        {
            piece.Span.CopyTo(target);
            target = target[piece.Length..];
        }
    }

    /// <summary>After a read from segments: counts it, keeps the granules that deserve it, and frees what is used up.</summary>
    private void UseSegments(BlockRequest request)
    {
        long first = request.Offset >> GranuleShift;
        long offset = request.Offset;
        bool isKept = _store is not null && request.Length < _bypassBytes;
        while (offset < request.End)
        {
            long end = Math.Min(request.End, GranuleEnd(offset));
            int source = _sources[(int)((offset >> GranuleShift) - first)];
            if (source < 0)
            {
                Fill segment = _segments[~source];
                segment.Tick = _planner!.Tick;
                long start = Floor(offset);

                // The evictions of Keep are why the copies of all granules had to come first. A granule that is kept serves
                // all its further reads: the segment's job is done.
                bool kept = isKept && Keep(start, GranuleEnd(offset), segment.Content[(int)(start - segment.Start)..]);
                UseSegment(segment, kept ? (int)(GranuleEnd(offset) - start) : (int)(end - offset));
            }

            offset = end;
        }

        UpdateHeld();
    }

    /// <summary>Keeps a granule that was read, if it deserves that. It is not about to be written: such content is not offered.</summary>
    private bool Keep(long start, long end, ReadOnlySpan<byte> content)
    {
        long granule = start >> GranuleShift;
        int slot = _store!.Find(granule);
        if (slot >= 0)
        {
            // Another read was faster.
            _store.Touch(slot);
            return true;
        }

        slot = _store.Admit(granule);
        if (slot < 0)
        {
            return false;
        }

        content[..(int)(end - start)].CopyTo(Slot(slot, Granule));
        return true;
    }
}
