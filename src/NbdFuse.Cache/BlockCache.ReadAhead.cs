using NbdFuse.Block;

namespace NbdFuse.Cache;

/// <content>Reading ahead: into segments, which are dropped once they have been asked for.</content>
public sealed partial class BlockCache
{
    // A reader of long pieces that gets this many bytes per microsecond by itself has no latency to hide, and its payloads go
    // by splice as long as they pass the cache by.
    private const int FastEnough = 400;
    private const int LongRead = 64 << 10;

    // Reads of long pieces after which it is known how many of them a reader keeps in flight.
    private const int ReadsToKnow = 4;

    // With this many reads of others waiting below, reading ahead is cut down to a few segments under way.
    private const int CrowdedReads = 8;
    private const int SegmentsWhenCrowded = 4;

    // Plans of one stream in one turn that turn out to be in memory already.
    private const int MostSkips = 64;

    private readonly RangeTable _segmentRanges;
    private readonly Fill[] _segments;
    private readonly ReadAheadPlanner? _planner;
    private int[] _freeSegments = [];
    private int _freeSegmentCount;
    private int _segmentsInFlight;
    private long _segmentBytes;
    private Fill? _draining;

    private Fill[] MakeSegments(ReadyList ready, int bytes)
    {
        var segments = new Fill[_layout.Segments + _layout.Pieces];
        _freeSegments = new int[_layout.Segments];
        for (int i = 0; i < _layout.Segments; i++)
        {
            segments[i] = new Fill(ready, i, _memory.Slice(_layout.SegmentsOffset + ((long)i * _layout.SegmentBytes), bytes));
            _freeSegments[_layout.Segments - 1 - i] = i;
        }

        _freeSegmentCount = _layout.Segments;
        for (int i = 0; i < _layout.Pieces; i++)
        {
            int id = _layout.Segments + i;
            long offset = _layout.PiecesOffset + ((long)i * CacheMemoryLayout.PieceBytes);
            segments[id] = new Fill(ready, id, _memory.Slice(offset, Math.Min(CacheMemoryLayout.PieceBytes, bytes)));
            _freePieces[_layout.Pieces - 1 - i] = id;
        }

        _freePieceCount = _layout.Pieces;
        return segments;
    }

    private void ReadAhead(ReadAheadPlanner planner)
    {
        planner.HasWork = false;
        for (int place = 0; place < planner.Places; place++)
        {
            ref ReadStream stream = ref planner[place];
            if (!stream.IsLive || !stream.IsWanted)
            {
                continue;
            }

            stream.IsWanted = false;
            int skips = 0;
            while (IsWorthIt(stream) && HasBudget() && planner.TryPlan(place, out long start, out long end))
            {
                if (IsHere(start, ref end) || _mutations.Overlaps(start, end))
                {
                    planner.Advance(place, end);
                    if (++skips == MostSkips)
                    {
                        break;
                    }
                }
                else if (!TryStartSegment(place, start, end))
                {
                    // When something is used up there will be room, and the reader will have moved on.
                    break;
                }
                else
                {
                    planner.Advance(place, end);
                }
            }
        }
    }

    private bool IsWorthIt(in ReadStream stream)
    {
        if (stream.Length < LongRead)
        {
            return true;
        }

        long latency = Statistics.LatencyMicroseconds;
        return stream.Reads >= ReadsToKnow && latency > 0 && (long)stream.Deepest * stream.Length < FastEnough * latency;
    }

    private bool HasBudget()
    {
        int limit = Fills - _freeFillCount + _bypasses.Rented >= CrowdedReads
            ? Math.Min(SegmentsWhenCrowded, _layout.Segments)
            : (_layout.Segments * 3 / 4) + 1;
        return _segmentsInFlight < limit;
    }

    /// <summary>Whether the beginning of a range need not be read, and how much of it.</summary>
    private bool IsHere(long start, ref long end)
    {
        int segment = FindSegment(start, -1);
        if (segment >= 0)
        {
            end = Math.Min(end, _segments[segment].End);
            return true;
        }

        if (HeldNothing)
        {
            return false;
        }

        long offset = start;
        while (offset < end && FindHeld(offset >> GranuleShift) >= 0)
        {
            offset += Granule;
        }

        if (offset == start)
        {
            return false;
        }

        end = Math.Min(end, offset);
        return true;
    }

    /// <summary>Reads the rest of a stream's read into segments, whose beginning is in memory or on its way there.</summary>
    private bool TryExtend(int place, BlockRequest request)
    {
        ReadAheadPlanner planner = _planner!;
        if (planner[place].Stride != 0 || FindSegment(Floor(request.Offset), -1) < 0)
        {
            return false;
        }

        long limit = GranuleEnd(request.End - 1);
        long offset = Floor(request.Offset);
        while (offset < limit)
        {
            long end = Math.Min(limit, offset + _segments[0].Memory.Length);
            if (!IsHere(offset, ref end))
            {
                if (_mutations.Overlaps(offset, end) || !TryStartSegment(place, offset, end))
                {
                    return false;
                }

                if (end > planner[place].Ahead)
                {
                    planner.Advance(place, end);
                }
            }

            offset = end;
        }

        return true;
    }

    /// <summary>Reads what lies around a short read, in one segment.</summary>
    private bool TryReadAround(BlockRequest request)
    {
        if (request.Length >= _bypassBytes || !HasBudget())
        {
            return false;
        }

        long length = _segments[0].Memory.Length;
        long start = request.Offset & ~(length - 1);
        long end = Math.Min(_size, start + length);
        if (request.End > end || _mutations.Overlaps(start, end) || _segmentRanges.Overlaps(start, end) || !TryStartSegment(-1, start, end))
        {
            return false;
        }

        _segments[_segmentRanges.FindContaining(start, end)].AddWaiter(request);
        return true;
    }

    private bool TryStartSegment(int place, long start, long end)
    {
        if (_freeSegmentCount == 0 && !TryEvictSegment())
        {
            return false;
        }

        Fill segment = _segments[_freeSegments[--_freeSegmentCount]];
        int length = (int)(end - start);
        segment.Prepare(start, end, segment.Memory[..length]);
        segment.Tick = _planner!.Tick;
        _segmentRanges.Add(segment.Id, start, end);
        _segmentsInFlight++;
        _segmentBytes += length;
        Statistics.Prefetches++;
        Statistics.PrefetchedBytes += length;
        UpdateHeld();
        StartBelow(segment, place, SegmentKind | (uint)segment.Id);
        return true;
    }

    private void SegmentEnded(Fill segment)
    {
        _segmentsInFlight--;
        int error = segment.Request.Error;
        bool isGood = error == 0 && !segment.IsTainted;
        if (isGood)
        {
            segment.IsReady = true;
            Measure(segment.StartedAt);
        }
        else if (!segment.IsTainted)
        {
            _segmentRanges.Remove(segment.Id);
        }

        // Those who waited may use it up, and must not free it under the feet of the others.
        _draining = segment;
        while (segment.TryTakeWaiter(out BlockRequest? waiter))
        {
            if (!TryLeave(waiter, error))
            {
                Resume(waiter);
            }
        }

        _draining = null;
        if (!isGood)
        {
            if (error != 0 && _planner!.IsSame(segment.Stream, segment.StreamSerial))
            {
                // It would fail again with every step of the reader.
                _planner.Forget(segment.Stream);
            }

            Release(segment);
        }
        else if (segment.Used >= segment.Length)
        {
            UsedUp(segment);
        }

        NoteRoom();
    }

    /// <summary>Goes on with a read that waited for a segment: there may be others that it needs.</summary>
    private void Resume(BlockRequest request)
    {
        switch (Locate(request.Offset, request.End, out int segment))
        {
            case Place.Here:
                Serve(request);
                break;
            case Place.UnderWay:
                _segments[segment].AddWaiter(request);
                break;
            default:
                // A write came between, or what it also needed has been dropped.
                PassBy(request, -1);
                break;
        }
    }

    private void UseSegment(Fill segment, int bytes)
    {
        if (!segment.IsReady)
        {
            // Parts of it were read twice, so that it counted as used up, and was freed, before this read's last granule.
            return;
        }

        int used = Math.Min(bytes, segment.Length - segment.Used);
        segment.Used += used;
        Statistics.UsedPrefetchedBytes += used;
        if (segment.Used >= segment.Length && segment != _draining)
        {
            UsedUp(segment);
        }
    }

    private void UsedUp(Fill segment)
    {
        if (_planner!.IsSame(segment.Stream, segment.StreamSerial))
        {
            _planner.Consumed(segment.Stream);
        }

        _segmentRanges.Remove(segment.Id);
        Release(segment);
        NoteRoom();
    }

    /// <summary>Drops the segment that is most likely not to be asked for.</summary>
    private bool TryEvictSegment()
    {
        Fill? worst = null;
        foreach (Fill segment in _segments)
        {
            if (segment.IsReady && segment != _draining && IsEvictable(segment) && (worst is null || segment.Tick < worst.Tick))
            {
                worst = segment;
            }
        }

        if (worst is null)
        {
            return false;
        }

        if (worst.Used < worst.Length / 2 && _planner!.IsSame(worst.Stream, worst.StreamSerial))
        {
            _planner.Wasted(worst.Stream);
        }

        _segmentRanges.Remove(worst.Id);
        Release(worst);
        return true;
    }

    /// <summary>
    /// Drops what was read ahead for readers that are gone. As long as it is there each random read is compared with it. What was
    /// read around short reads has no reader, and stays.
    /// </summary>
    private void DropForgottenSegments()
    {
        if (_segmentRanges.Count == 0)
        {
            return;
        }

        foreach (Fill segment in _segments)
        {
            if (segment is { IsReady: true, Stream: >= 0 } && segment != _draining && !_planner!.IsSame(segment.Stream, segment.StreamSerial))
            {
                _segmentRanges.Remove(segment.Id);
                Release(segment);
            }
        }
    }

    private bool IsEvictable(Fill segment)
    {
        ReadAheadPlanner planner = _planner!;
        return !planner.IsSame(segment.Stream, segment.StreamSerial)
            || planner.IsIdle(segment.Stream)
            || !planner.IsBefore(segment.Stream, segment.Start, segment.End);
    }

    /// <summary>A write to the range has started: what was read ahead there is worthless.</summary>
    private void DropSegments(long start, long end)
    {
        int position = _segmentRanges.Count;
        for (int id; (id = _segmentRanges.NextOverlap(start, end, ref position)) >= 0;)
        {
            Fill segment = _segments[id];
            _segmentRanges.Remove(id);
            Statistics.Invalidations++;
            if (segment.IsReady)
            {
                Release(segment);
            }
            else
            {
                segment.IsTainted = true;
            }
        }
    }

    /// <summary>Frees a segment that is in no table any more and that nobody waits for.</summary>
    private void Release(Fill segment)
    {
        Statistics.WastedPrefetchedBytes += segment.Length - segment.Used;
        segment.IsReady = false;
        _segmentBytes -= segment.Length;
        _freeSegments[_freeSegmentCount++] = segment.Id;
        UpdateHeld();
    }

    private void NoteRoom()
    {
        ReadAheadPlanner planner = _planner!;
        for (int place = 0; place < planner.Places; place++)
        {
            planner[place].IsWanted = true;
        }

        planner.HasWork = true;
    }
}
