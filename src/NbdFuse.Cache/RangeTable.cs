namespace NbdFuse.Cache;

/// <summary>
/// A few dozen byte ranges, each with a number, dense in memory: searched from end to end, which for so few is faster than any
/// tree.
/// </summary>
/// <remarks>THREADING: one thread. Grows when more ranges are in it than ever before; otherwise nothing is allocated.</remarks>
internal sealed class RangeTable
{
    private long[] _start;
    private long[] _end;
    private int[] _id;
    private int[] _positionOfId;

    /// <summary>Makes an empty table.</summary>
    /// <param name="capacity">Ranges that fit before it has to grow; numbers are below it.</param>
    public RangeTable(int capacity)
    {
        _start = new long[capacity];
        _end = new long[capacity];
        _id = new int[capacity];
        _positionOfId = new int[capacity];
        Array.Fill(_positionOfId, -1);
    }

    /// <summary>Ranges in it.</summary>
    public int Count { get; private set; }

    /// <summary>Enters a range.</summary>
    /// <param name="id">Its number, which no other range has; 0 or more.</param>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    public void Add(int id, long start, long end)
    {
        if (id >= _positionOfId.Length)
        {
            Grow(id + 1);
        }

        int position = Count++;
        _start[position] = start;
        _end[position] = end;
        _id[position] = id;
        _positionOfId[id] = position;
    }

    /// <summary>Takes a range out.</summary>
    /// <param name="id">Its number.</param>
    /// <returns>False when it was not there.</returns>
    public bool Remove(int id)
    {
        int position = _positionOfId[id];
        if (position < 0)
        {
            return false;
        }

        int last = --Count;
        _start[position] = _start[last];
        _end[position] = _end[last];
        _id[position] = _id[last];
        _positionOfId[_id[position]] = position;
        _positionOfId[id] = -1;
        return true;
    }

    /// <summary>Finds a range that holds all of another.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    /// <returns>Its number, or -1.</returns>
    public int FindContaining(long start, long end)
    {
        for (int i = 0; i < Count; i++)
        {
            if (_start[i] <= start && end <= _end[i])
            {
                return _id[i];
            }
        }

        return -1;
    }

    /// <summary>Finds a range that overlaps another. Backwards, so that the one found may be removed before the search goes on.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    /// <param name="position">Where to go on; <see cref="Count"/> at the beginning.</param>
    /// <returns>Its number, or -1.</returns>
    public int NextOverlap(long start, long end, ref int position)
    {
        while (--position >= 0)
        {
            if (_start[position] < end && start < _end[position])
            {
                return _id[position];
            }
        }

        return -1;
    }

    /// <summary>Tells whether any range overlaps another.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    public bool Overlaps(long start, long end)
    {
        int position = Count;
        return position > 0 && NextOverlap(start, end, ref position) >= 0;
    }

    private void Grow(int needed)
    {
        int old = _positionOfId.Length;
        int capacity = Math.Max(needed, old * 2);
        Array.Resize(ref _start, capacity);
        Array.Resize(ref _end, capacity);
        Array.Resize(ref _id, capacity);
        Array.Resize(ref _positionOfId, capacity);
        Array.Fill(_positionOfId, -1, old, capacity - old);
    }
}
