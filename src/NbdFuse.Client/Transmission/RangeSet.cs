namespace NbdFuse.Client.Transmission;

/// <summary>A set of bytes of an export, as sorted, disjoint ranges.</summary>
internal sealed class RangeSet
{
    private readonly List<(long Start, long End)> _ranges = [];

    /// <summary>Adds a range, and tells which parts of it were not in the set yet.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it; larger than <paramref name="start"/>.</param>
    /// <param name="news">Receives the parts that are new, in order.</param>
    public void Add(long start, long end, List<(long Start, long End)> news)
    {
        int first = FirstEndingAtOrAfter(start);
        int index = first;
        long from = start;
        long mergedStart = start;
        long mergedEnd = end;
        while (index < _ranges.Count && _ranges[index].Start <= end)
        {
            (long rangeStart, long rangeEnd) = _ranges[index++];
            if (from < rangeStart)
            {
                news.Add((from, rangeStart));
            }

            from = Math.Max(from, rangeEnd);
            mergedStart = Math.Min(mergedStart, rangeStart);
            mergedEnd = Math.Max(mergedEnd, rangeEnd);
        }

        if (from < end)
        {
            news.Add((from, end));
        }

        _ranges.RemoveRange(first, index - first);
        _ranges.Insert(first, (mergedStart, mergedEnd));
    }

    private int FirstEndingAtOrAfter(long offset)
    {
        int low = 0;
        int high = _ranges.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_ranges[middle].End < offset)
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
}
