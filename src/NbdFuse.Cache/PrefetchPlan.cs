namespace NbdFuse.Cache;

/// <summary>
/// Replays an <see cref="AccessTrace"/>: what comes next, what the reader has read by itself meanwhile, and how far it is.
/// </summary>
/// <remarks>
/// The reader's place moves forward by at most some dozens of ranges per read, so that one odd read does not make it seem far ahead:
/// what lies well before that place and has not been asked for is not going to be.
/// THREADING: one thread. Nothing is allocated after the constructor.
/// </remarks>
internal sealed class PrefetchPlan
{
    // Several readers of one boot are not in step.
    private const int Slack = 256;
    private const int LargestStep = 64;
    private readonly AccessTrace _trace;
    private readonly long[] _sortedStarts;
    private readonly int[] _sorted;
    private readonly bool[] _isRead;
    private int _next;
    private int _offset;

    /// <summary>Begins at the beginning.</summary>
    /// <param name="trace">The trace.</param>
    public PrefetchPlan(AccessTrace trace)
    {
        _trace = trace;
        _isRead = new bool[trace.Count];
        _sorted = [.. Enumerable.Range(0, trace.Count)];
        _sortedStarts = [.. _sorted.Select(index => trace[index].Granule)];
        Array.Sort(_sortedStarts, _sorted);
    }

    /// <summary>Nothing is left to plan.</summary>
    public bool IsPlanned => _next >= _trace.Count;

    /// <summary>The range that the reader has reached.</summary>
    public int Place { get; private set; }

    /// <summary>Notes a read.</summary>
    /// <param name="first">Its first granule.</param>
    /// <param name="end">The first granule after it.</param>
    /// <returns>The trace has something of it.</returns>
    public bool Note(long first, long end)
    {
        int position = Array.BinarySearch(_sortedStarts, first);
        if (position < 0)
        {
            // The one before may reach into the read.
            position = Math.Max(0, ~position - 1);
        }

        bool any = false;
        for (; position < _sorted.Length && _sortedStarts[position] < end; position++)
        {
            int index = _sorted[position];
            (long start, int count) = _trace[index];
            if (start + count <= first)
            {
                continue;
            }

            any = true;
            _isRead[index] |= start >= first && start + count <= end;
            if (index > Place)
            {
                Place = Math.Min(index, Place + LargestStep);
            }
        }

        return any;
    }

    /// <summary>Tells whether the reader has left a range behind it, unread.</summary>
    /// <param name="index">The range.</param>
    public bool IsPassed(int index) => index < Place - Slack;

    /// <summary>Says what to read next.</summary>
    /// <param name="most">Most granules, 1 or more.</param>
    /// <param name="index">The range of the trace.</param>
    /// <param name="granule">The first granule.</param>
    /// <param name="count">How many.</param>
    /// <returns>False when nothing is left.</returns>
    public bool TryPeek(int most, out int index, out long granule, out int count)
    {
        while (_next < _trace.Count && _offset == 0 && (_isRead[_next] || IsPassed(_next)))
        {
            _next++;
        }

        index = _next;
        if (IsPlanned)
        {
            granule = 0;
            count = 0;
            return false;
        }

        (long start, int length) = _trace[_next];
        granule = start + _offset;
        count = Math.Min(most, length - _offset);
        return true;
    }

    /// <summary>Notes that what <see cref="TryPeek"/> said is under way, or need not be.</summary>
    /// <param name="count">What it gave.</param>
    public void Advance(int count)
    {
        _offset += count;
        if (_offset >= _trace[_next].Count)
        {
            _offset = 0;
            _next++;
        }
    }

    /// <summary>Plans nothing more.</summary>
    public void End() => _next = _trace.Count;
}
