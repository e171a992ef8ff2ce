namespace NbdFuse.Block;

/// <summary>
/// Ranges of a file or device that are known to be holes, in order and apart from each other; a bounded number of them. What does not fit is
/// forgotten, which is never wrong.
/// </summary>
/// <remarks>THREADING: the loop's thread only. Nothing is allocated after it was made.</remarks>
public sealed class HoleMap
{
    /// <summary>Ranges that are enough for most disks, at 64 KiB of memory.</summary>
    public const int DefaultCapacity = 4096;

    private readonly long[] _start;
    private readonly long[] _end;
    private int _count;

    /// <summary>Makes an empty map.</summary>
    /// <param name="capacity">Most ranges, 1 or more.</param>
    public HoleMap(int capacity)
    {
        _start = new long[capacity];
        _end = new long[capacity];
    }

    /// <summary>Bytes of all ranges.</summary>
    public long Total { get; private set; }

    /// <summary>Number of ranges.</summary>
    public int Count => _count;

    /// <summary>There is no room for a range that touches none of the others.</summary>
    public bool IsFull => _count == _start.Length;

    /// <summary>Forgets all.</summary>
    public void Clear()
    {
        _count = 0;
        Total = 0;
    }

    /// <summary>Adds a range; neighbours become one.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    public void Add(long start, long end)
    {
        if (start >= end)
        {
            return;
        }

        // Those that overlap or touch: [first, last).
        int first = FirstEndingAt(start);
        int last = first;
        while (last < _count && _start[last] <= end)
        {
            start = Math.Min(start, _start[last]);
            end = Math.Max(end, _end[last]);
            Total -= _end[last] - _start[last];
            last++;
        }

        if (last == first && _count == _start.Length)
        {
            return;
        }

        Resize(first, last, 1);
        _start[first] = start;
        _end[first] = end;
        Total += end - start;
    }

    /// <summary>Takes a range away.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    public void Remove(long start, long end)
    {
        if (_count == 0 || start >= end)
        {
            return;
        }

        int first = FirstEndingAt(start + 1);
        int last = first;
        long before = long.MaxValue;
        long after = 0;
        while (last < _count && _start[last] < end)
        {
            Total -= _end[last] - _start[last];
            before = Math.Min(before, _start[last]);
            after = Math.Max(after, _end[last]);
            last++;
        }

        if (last == first)
        {
            return;
        }

        bool hasHead = before < start;
        bool hasTail = after > end;
        if (hasHead && hasTail && last - first == 1 && _count == _start.Length)
        {
            // No room for two: the longer one stays.
            hasHead = start - before >= after - end;
            hasTail = !hasHead;
        }

        Resize(first, last, (hasHead ? 1 : 0) + (hasTail ? 1 : 0));
        if (hasHead)
        {
            Set(first++, before, start);
        }

        if (hasTail)
        {
            Set(first, end, after);
        }
    }

    /// <summary>Whether a byte lies in one of the ranges.</summary>
    /// <param name="offset">The byte.</param>
    public bool Contains(long offset)
    {
        int index = FirstEndingAt(offset + 1);
        return index < _count && _start[index] <= offset;
    }

    /// <summary>Whether a range lies wholly in one of the ranges.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    public bool Covers(long start, long end)
    {
        if (_count == 0)
        {
            return false;
        }

        int index = FirstEndingAt(end);
        return index < _count && _start[index] <= start;
    }

    /// <summary>End of the range that a byte lies in.</summary>
    /// <param name="offset">The byte.</param>
    /// <returns>The byte itself when it lies in none.</returns>
    public long EndAt(long offset)
    {
        int index = FirstEndingAt(offset + 1);
        return index < _count && _start[index] <= offset ? _end[index] : offset;
    }

    private void Set(int index, long start, long end)
    {
        _start[index] = start;
        _end[index] = end;
        Total += end - start;
    }

    /// <summary>Index of the first range that ends at <paramref name="offset"/> or later.</summary>
    private int FirstEndingAt(long offset)
    {
        // Not by the library's: its code for long numbers would be compiled at the first use, perhaps during an outage.
        int low = 0;
        int high = _count;
        while (low < high)
        {
            int middle = (low + high) >> 1;
            if (_end[middle] < offset)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    /// <summary>Makes room for <paramref name="wanted"/> ranges in the place of [first, last).</summary>
    private void Resize(int first, int last, int wanted)
    {
        int moved = _count - last;
        Array.Copy(_start, last, _start, first + wanted, moved);
        Array.Copy(_end, last, _end, first + wanted, moved);
        _count += wanted - (last - first);
    }
}
