namespace NbdFuse.Cache;

/// <summary>
/// Which granules are in memory, in which slot, and which one leaves when another comes: W-TinyLFU with a late door. The
/// memory itself belongs to somebody else.
/// </summary>
/// <remarks>
/// Newcomers enter a small window (recency). What the window pushes out competes by its frequency with the least recently
/// used granule of the main part, which is a list on probation and a protected one (segmented LRU). The late door: once all
/// slots are taken, a granule whose use is the first that the sketch remembers is not stored at all. It would nearly always
/// lose the competition, and random reads over a large device would pay a copy and an eviction for each read.
/// docs/CACHE.md has the traces by which this was chosen.
/// THREADING: one thread. Nothing is allocated after the constructor.
/// </remarks>
internal sealed class GranuleStore
{
    private const int Nobody = -1;
    private readonly GranuleIndex _index;
    private readonly FrequencySketch _sketch;
    private readonly GranuleState[] _state;
    private readonly bool[] _isValid;
    private readonly int[] _previous;
    private readonly int[] _next;
    private readonly int[] _free;
    private readonly bool _hasLateDoor;
    private readonly WindowClimber? _climber;
    private int _windowLimit;
    private int _protectedLimit;
    private SlotList _window = SlotList.Empty;
    private SlotList _probation = SlotList.Empty;
    private SlotList _protected = SlotList.Empty;
    private int _freeCount;

    /// <summary>Makes an empty store.</summary>
    /// <param name="slots">Most granules in it, 1 or more.</param>
    /// <param name="hasLateDoor">Keep out what is seen for the first time when the store is full.</param>
    /// <param name="climbs">Adapt the size of the window.</param>
    public GranuleStore(int slots, bool hasLateDoor = true, bool climbs = true)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(slots, 1);
        Slots = slots;
        _index = new GranuleIndex(slots);
        _sketch = new FrequencySketch(slots);
        _state = new GranuleState[slots];
        _isValid = new bool[slots];
        _previous = new int[slots];
        _next = new int[slots];
        _free = new int[slots];
        _hasLateDoor = hasLateDoor;
        _climber = climbs ? new WindowClimber(slots) : null;
        SetWindow(Math.Max(1, slots / 100));
        FreeAll();
    }

    /// <summary>Most granules.</summary>
    public int Slots { get; }

    /// <summary>Granules in it, those that are being written included.</summary>
    public int Count => Slots - _freeCount;

    /// <summary>Whether one has to leave when another comes.</summary>
    public bool IsFull => _freeCount == 0;

    /// <summary>Granules that had to leave for others.</summary>
    public long Evictions { get; private set; }

    /// <summary>Granules that were not let in.</summary>
    public long Rejections { get; private set; }

    /// <summary>Finds a granule whose memory equals the device's.</summary>
    /// <param name="granule">Number of the granule.</param>
    /// <returns>Its slot, or -1.</returns>
    public int FindValid(long granule)
    {
        int slot = _index.Find(granule, GranuleIndex.Hash(granule));
        return slot >= 0 && _isValid[slot] ? slot : Nobody;
    }

    /// <summary>Finds a granule, valid or not.</summary>
    /// <param name="granule">Number of the granule.</param>
    /// <returns>Its slot, or -1.</returns>
    public int Find(long granule) => _index.Find(granule, GranuleIndex.Hash(granule));

    /// <summary>Notes a use of a granule that is in memory.</summary>
    /// <param name="slot">Its slot.</param>
    public void Touch(int slot)
    {
        _sketch.Increment(GranuleIndex.Hash(_index.Key(slot)));
        Note(isHit: true);
        switch (_state[slot])
        {
            case GranuleState.Window:
                if (_window.First != slot)
                {
                    Unlink(ref _window, slot);
                    LinkFirst(ref _window, slot, GranuleState.Window);
                }

                break;
            case GranuleState.Probation:
                Unlink(ref _probation, slot);
                LinkFirst(ref _protected, slot, GranuleState.Protected);
                if (_protected.Count > _protectedLimit)
                {
                    int least = _protected.Last;
                    Unlink(ref _protected, least);
                    LinkFirst(ref _probation, least, GranuleState.Probation);
                }

                break;
            case GranuleState.Protected:
                if (_protected.First != slot)
                {
                    Unlink(ref _protected, slot);
                    LinkFirst(ref _protected, slot, GranuleState.Protected);
                }

                break;
        }
    }

    /// <summary>Notes a use of a granule that is absent, and lets it in if it deserves that.</summary>
    /// <param name="granule">Number of a granule that <see cref="Find"/> does not find.</param>
    /// <returns>Its slot, valid from now on: the caller fills the memory at once. -1 when it was not let in.</returns>
    public int Admit(long granule)
    {
        ulong hash = GranuleIndex.Hash(granule);
        _sketch.Increment(hash);
        Note(isHit: false);
        if (_freeCount == 0)
        {
            if (_hasLateDoor && _windowLimit <= Slots / 100 + 1 && _sketch.Estimate(hash) <= 1)
            {
                Rejections++;
                return Nobody;
            }

            Evict();
        }

        int slot = _free[--_freeCount];
        _index.Add(granule, hash, slot);
        _isValid[slot] = true;
        LinkFirst(ref _window, slot, GranuleState.Window);

        // Two at a time, when the window has become smaller: it must not take long at once.
        for (int i = 0; i < 2 && _window.Count > _windowLimit; i++)
        {
            int candidate = _window.Last;
            Unlink(ref _window, candidate);
            LinkFirst(ref _probation, candidate, GranuleState.Probation);
        }

        return slot;
    }

    /// <summary>Says that the memory of a slot no longer equals the device's. It keeps its place.</summary>
    /// <param name="slot">A slot in use.</param>
    public void Invalidate(int slot) => _isValid[slot] = false;

    /// <summary>Says that the memory of a slot equals the device's again.</summary>
    /// <param name="slot">A slot in use.</param>
    public void Validate(int slot) => _isValid[slot] = true;

    /// <summary>Takes a granule out.</summary>
    /// <param name="slot">A slot in use.</param>
    public void Remove(int slot)
    {
        switch (_state[slot])
        {
            case GranuleState.Window:
                Unlink(ref _window, slot);
                break;
            case GranuleState.Probation:
                Unlink(ref _probation, slot);
                break;
            case GranuleState.Protected:
                Unlink(ref _protected, slot);
                break;
            default:
                throw new InvalidOperationException("A slot was freed twice.");
        }

        _index.Remove(slot);
        _state[slot] = GranuleState.Free;
        _isValid[slot] = false;
        _free[_freeCount++] = slot;
    }

    /// <summary>The granule of a slot, when it holds one.</summary>
    /// <param name="slot">Any slot.</param>
    /// <returns>Number of the granule, or -1.</returns>
    public long GranuleOf(int slot) => _state[slot] == GranuleState.Free ? Nobody : _index.Key(slot);

    /// <summary>Forgets all granules and all fame.</summary>
    public void Clear()
    {
        _index.Clear();
        _sketch.Clear();
        _window = SlotList.Empty;
        _probation = SlotList.Empty;
        _protected = SlotList.Empty;
        Array.Clear(_state);
        Array.Clear(_isValid);
        FreeAll();
    }

    private void Note(bool isHit)
    {
        if (_climber is not null && _climber.Note(isHit))
        {
            SetWindow(_climber.Window);
        }
    }

    private void SetWindow(int slots)
    {
        // 80 % of what the window leaves is protected, as the paper and its descendants have it.
        _windowLimit = slots;
        _protectedLimit = (Slots - slots) * 8 / 10;
    }

    private void FreeAll()
    {
        // The lowest slot first, so that memory that was never needed is never touched.
        for (int slot = 0; slot < Slots; slot++)
        {
            _free[Slots - 1 - slot] = slot;
        }

        _freeCount = Slots;
    }

    /// <summary>Frees one slot: the window's oldest and the main part's least recently used compete.</summary>
    private void Evict()
    {
        Evictions++;
        int victim = _probation.Last != Nobody ? _probation.Last : _protected.Last;
        if (_window.Count < _windowLimit && victim != Nobody)
        {
            Remove(victim);
            return;
        }

        int candidate = _window.Last;
        if (victim != Nobody && Fame(candidate) > Fame(victim))
        {
            // The place in the window comes free when the newcomer pushes the candidate out.
            Remove(victim);
            return;
        }

        Remove(candidate);
    }

    private int Fame(int slot) => _sketch.Estimate(GranuleIndex.Hash(_index.Key(slot)));

    private void LinkFirst(ref SlotList list, int slot, GranuleState state)
    {
        _state[slot] = state;
        _previous[slot] = Nobody;
        _next[slot] = list.First;
        if (list.First == Nobody)
        {
            list.Last = slot;
        }
        else
        {
            _previous[list.First] = slot;
        }

        list.First = slot;
        list.Count++;
    }

    private void Unlink(ref SlotList list, int slot)
    {
        int previous = _previous[slot];
        int next = _next[slot];
        if (previous == Nobody)
        {
            list.First = next;
        }
        else
        {
            _next[previous] = next;
        }

        if (next == Nobody)
        {
            list.Last = previous;
        }
        else
        {
            _previous[next] = previous;
        }

        list.Count--;
    }

    private struct SlotList
    {
        public int First;
        public int Last;
        public int Count;

        public static SlotList Empty => new() { First = Nobody, Last = Nobody };
    }
}
