namespace NbdFuse.Client.Transmission;

/// <summary>
/// The pieces of one READ that arrived out of order (NBD spec, structured replies: content chunks may come in any
/// order, but must not overlap). Sorted, neighbours merged, bounded.
/// </summary>
internal sealed class ReadFragments
{
    /// <summary>
    /// Most separate pieces. 32 MiB in pieces of 512 bytes with every second one missing need as many; a server that
    /// scatters more than that is treated as broken, so that it can't make us use memory without bound.
    /// </summary>
    public const int MaximumPieces = 32768;

    private readonly List<(long Start, long End)> _pieces = [];

    /// <summary>True while there is a piece.</summary>
    public bool IsUsed => _pieces.Count > 0;

    /// <summary>Forgets all pieces.</summary>
    public void Clear() => _pieces.Clear();

    /// <summary>Adds a piece.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    /// <returns>False when it overlaps another piece, or there are too many.</returns>
    public bool TryAdd(long start, long end)
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
        else if (_pieces.Count == MaximumPieces)
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
