using NbdFuse.Block;

namespace NbdFuse.Cache;

/// <content>What changes the device: see the remarks on coherence.</content>
public sealed partial class BlockCache
{
    private const int FirstMutations = 256;

    private readonly RangeTable _mutations = new(FirstMutations);
    private readonly Slab<Mutation> _mutationStates = new(FirstMutations);

    private void Mutate(BlockRequest request)
    {
        long start = Floor(request.Offset);
        long end = GranuleEnd(request.End - 1);
        int id = _mutationStates.Rent();
        ref Mutation mutation = ref _mutationStates[id];
        int position = _mutations.Count;
        for (int other; (other = _mutations.NextOverlap(start, end, ref position)) >= 0;)
        {
            _mutationStates[other].IsContended = true;
            mutation.IsContended = true;
        }

        _mutations.Add(id, start, end);
        Taint(start, end);
        DropSegments(start, end);
        if (_held is { Count: > 0 })
        {
            DropHeld(start, end);
        }

        if (_store is { Count: > 0 })
        {
            // What a trim leaves is undefined. Zeroes would be known, but whoever makes them seldom reads them.
            mutation.HasSlots = InvalidateSlots(start, end, removes: request.Operation != BlockOperation.Write);
        }

        UpdateHeld();
        request.Push(this, MutationKind | (uint)id);
        _lower.Submit(request);
    }

    private void MutationEnded(BlockRequest request, int id)
    {
        Mutation mutation = _mutationStates[id];
        _mutations.Remove(id);
        _mutationStates.Return(id);
        if (!mutation.HasSlots)
        {
            return;
        }

        long start = Floor(request.Offset);
        long end = GranuleEnd(request.End - 1);
        bool isKnown = request.Error == 0 && !mutation.IsContended;
        if (!isKnown)
        {
            InvalidateSlots(start, end, removes: true);
            UpdateHeld();
            return;
        }

        ReadOnlySpan<byte> data = request.Buffer.Span;
        for (long offset = start; offset < end; offset += Granule)
        {
            int slot = _store!.Find(offset >> GranuleShift);
            if (slot < 0)
            {
                continue;
            }

            long granuleEnd = GranuleEnd(offset);
            if (offset < request.Offset || granuleEnd > request.End)
            {
                // A part of it only: what the other part holds was not valid to begin with, perhaps.
                RemoveSlot(slot);
                continue;
            }

            data.Slice((int)(offset - request.Offset), (int)(granuleEnd - offset)).CopyTo(Slot(slot, Granule));
            _store.Validate(slot);
        }

        UpdateHeld();
    }

    /// <summary>Sees to it that what is under way to the range is not kept.</summary>
    private void Taint(long start, long end)
    {
        int position = _fillRanges.Count;
        for (int id; (id = _fillRanges.NextOverlap(start, end, ref position)) >= 0;)
        {
            _fills[id].IsTainted = true;
            _fillRanges.Remove(id);
        }
    }

    /// <summary>Makes the granules of a range invalid, or has them leave.</summary>
    /// <returns>Some are there still.</returns>
    private bool InvalidateSlots(long start, long end, bool removes)
    {
        long first = start >> GranuleShift;
        long last = (end - 1) >> GranuleShift;
        bool any = false;
        if (last - first >= _store!.Slots)
        {
            // A trim may be of any length: it is bounded by what the cache holds.
            for (int slot = 0; slot < _store.Slots; slot++)
            {
                long granule = _store.GranuleOf(slot);
                if (granule >= first && granule <= last)
                {
                    any |= InvalidateSlot(slot, removes);
                }
            }

            return any;
        }

        for (long granule = first; granule <= last; granule++)
        {
            int slot = _store.Find(granule);
            if (slot >= 0)
            {
                any |= InvalidateSlot(slot, removes);
            }
        }

        return any;
    }

    private bool InvalidateSlot(int slot, bool removes)
    {
        if (removes)
        {
            RemoveSlot(slot);
            return false;
        }

        _store!.Invalidate(slot);
        return true;
    }

    private void RemoveSlot(int slot)
    {
        _store!.Remove(slot);
        Statistics.Invalidations++;
    }
}
