namespace NbdFuse.Client.Transmission;

/// <summary>
/// The pieces of one READ that arrived out of order (NBD spec, structured replies: content chunks may come in any
/// order, but must not overlap). Sorted, neighbours merged, bounded.
/// </summary>
internal sealed class ReadFragments
{
    private const int SmallestLimit = 64;

    private readonly List<(long Start, long End)> _pieces = [];

    /// <summary>True while there is a piece.</summary>
    public bool IsUsed => _pieces.Count > 0;

    /// <summary>More memory than a server that is merely out of order needs.</summary>
    public bool IsLarge => _pieces.Capacity > 64;

    /// <summary>Forgets all pieces.</summary>
    public void Clear() => _pieces.Clear();

    /// <summary>
    /// Most separate pieces of a READ: one per 512 bytes, and some for a short one. A server that scatters more than that
    /// is treated as broken: single bytes with gaps would cost 8 times the memory of the payload, in every slot.
    /// </summary>
    /// <param name="length">Length of the READ, in bytes.</param>
    public static int Limit(long length) => (int)Math.Min(SmallestLimit + (length / 512), 1 << 20);

    /// <summary>Adds a piece.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    /// <param name="limit">Most pieces.</param>
    /// <returns>False when it overlaps another piece, or there are too many.</returns>
    public bool TryAdd(long start, long end, int limit)
    {
        int low = 0;
        int high = _pieces.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_pieces[middle].Start < start)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        bool joinsPrevious = low > 0 && _pieces[low - 1].End == start;
        if ((low > 0 && _pieces[low - 1].End > start) || (low < _pieces.Count && _pieces[low].Start < end))
        {
            return false;
        }

        bool joinsNext = low < _pieces.Count && _pieces[low].Start == end;
        if (joinsPrevious && joinsNext)
        {
            _pieces[low - 1] = (_pieces[low - 1].Start, _pieces[low].End);
            _pieces.RemoveAt(low);
        }
        else if (joinsPrevious)
        {
            _pieces[low - 1] = (_pieces[low - 1].Start, end);
        }
        else if (joinsNext)
        {
            _pieces[low] = (start, _pieces[low].End);
        }
        else if (_pieces.Count >= limit)
        {
            return false;
        }
        else
        {
            _pieces.Insert(low, (start, end));
        }

        return true;
    }

    /// <summary>Tells whether the pieces are exactly one range.</summary>
    /// <param name="start">First byte of the range.</param>
    /// <param name="end">First byte after it.</param>
    public bool Covers(long start, long end) =>
        _pieces.Count == 1 && _pieces[0].Start == start && _pieces[0].End == end;
}
