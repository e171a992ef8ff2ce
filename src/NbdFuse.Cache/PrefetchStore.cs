namespace NbdFuse.Cache;

/// <summary>
/// Granules that were read before they were asked for, by the trace, in the order in which they came: each leaves with its first
/// use. The memory itself belongs to somebody else.
/// </summary>
/// <remarks>THREADING: one thread. Nothing is allocated after the constructor.</remarks>
internal sealed class PrefetchStore
{
    private const int Nobody = -1;
    private readonly GranuleIndex _index;
    private readonly int[] _range;
    private readonly int[] _previous;
    private readonly int[] _next;
    private readonly bool[] _isUsed;
    private readonly int[] _free;
    private int _freeCount;
    private int _oldest;
    private int _newest;

    /// <summary>Makes an empty store.</summary>
    /// <param name="slots">Most granules in it, 1 or more.</param>
    public PrefetchStore(int slots)
    {
        Slots = slots;
        _index = new GranuleIndex(slots);
        _range = new int[slots];
        _previous = new int[slots];
        _next = new int[slots];
        _isUsed = new bool[slots];
        _free = new int[slots];
        Clear();
    }

    /// <summary>Most granules.</summary>
    public int Slots { get; }

    /// <summary>Granules in it.</summary>
    public int Count => Slots - _freeCount;

    /// <summary>The granule that came first, or -1.</summary>
    public int Oldest => _oldest;

    /// <summary>Finds a granule.</summary>
    /// <param name="granule">Its number.</param>
    /// <returns>Its slot, or -1.</returns>
    public int Find(long granule) => Count == 0 ? Nobody : _index.Find(granule, GranuleIndex.Hash(granule));

    /// <summary>Adds a granule that is absent; there must be room.</summary>
    /// <param name="granule">Its number.</param>
    /// <param name="range">The range of the trace that it belongs to.</param>
    /// <returns>Its slot; the caller fills the memory at once.</returns>
    public int Add(long granule, int range)
    {
        int slot = _free[--_freeCount];
        _index.Add(granule, GranuleIndex.Hash(granule), slot);
        _range[slot] = range;
        _isUsed[slot] = true;
        _previous[slot] = _newest;
        _next[slot] = Nobody;
        if (_newest == Nobody)
        {
            _oldest = slot;
        }
        else
        {
            _next[_newest] = slot;
        }

        _newest = slot;
        return slot;
    }

    /// <summary>The range of the trace that a granule belongs to.</summary>
    /// <param name="slot">A slot in use.</param>
    public int RangeOf(int slot) => _range[slot];

    /// <summary>The granule of a slot, when it holds one.</summary>
    /// <param name="slot">Any slot.</param>
    /// <returns>Number of the granule, or -1.</returns>
    public long GranuleOf(int slot) => _isUsed[slot] ? _index.Key(slot) : Nobody;

    /// <summary>Takes a granule out.</summary>
    /// <param name="slot">A slot in use.</param>
    public void Remove(int slot)
    {
        if (!_isUsed[slot])
        {
            throw new InvalidOperationException("A slot was freed twice.");
        }

        int previous = _previous[slot];
        int next = _next[slot];
        if (previous == Nobody)
        {
            _oldest = next;
        }
        else
        {
            _next[previous] = next;
        }

        if (next == Nobody)
        {
            _newest = previous;
        }
        else
        {
            _previous[next] = previous;
        }

        _index.Remove(slot);
        _isUsed[slot] = false;
        _free[_freeCount++] = slot;
    }

    /// <summary>Takes everything out.</summary>
    public void Clear()
    {
        _index.Clear();
        Array.Clear(_isUsed);
        _oldest = Nobody;
        _newest = Nobody;

        // The lowest slot first, so that memory that was never needed is never touched.
        for (int slot = 0; slot < Slots; slot++)
        {
            _free[Slots - 1 - slot] = slot;
        }

        _freeCount = Slots;
    }
}
