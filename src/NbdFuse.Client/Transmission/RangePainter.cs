namespace NbdFuse.Client.Transmission;

/// <summary>
/// Paints ranges of an export, and tells of each range which parts of it nobody had painted before. All ranges are
/// announced first; then each costs hardly more than the parts that it is told, however many there are.
/// </summary>
internal sealed class RangePainter
{
    private readonly List<long> _borders;
    private int[]? _next;

    /// <summary>Makes a painter.</summary>
    /// <param name="count">Ranges that will be announced.</param>
    public RangePainter(int count) => _borders = new List<long>(2 * count);

    /// <summary>Announces a range.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it; larger than <paramref name="start"/>.</param>
    public void Announce(long start, long end)
    {
        _borders.Add(start);
        _borders.Add(end);
    }

    /// <summary>Paints a range that was announced.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    /// <param name="news">Receives the parts that were not painted yet, in order.</param>
    public void Paint(long start, long end, List<(long Start, long End)> news)
    {
        _next ??= Prepare();
        int last = _borders.BinarySearch(end);
        int part = FirstUnpainted(_borders.BinarySearch(start));
        while (part < last)
        {
            // The parts between two borders are painted as a whole.
            int first = part;
            while (part < last && _next[part] == part)
            {
                _next[part] = part + 1;
                part++;
            }

            news.Add((_borders[first], _borders[part]));
            part = FirstUnpainted(part);
        }
    }

    private int[] Prepare()
    {
        _borders.Sort();
        int count = 0;
        for (int i = 0; i < _borders.Count; i++)
        {
            if (i == 0 || _borders[i] != _borders[count - 1])
            {
                _borders[count++] = _borders[i];
            }
        }

        _borders.RemoveRange(count, _borders.Count - count);
        int[] next = new int[count + 1];
        for (int i = 0; i < next.Length; i++)
        {
            next[i] = i;
        }

        return next;
    }

    // Whoever is passed by points further from then on: chains of painted parts are walked once.
    private int FirstUnpainted(int part)
    {
        int root = part;
        while (_next![root] != root)
        {
            root = _next[root];
        }

        while (_next[part] != root && part != root)
        {
            int following = _next[part];
            _next[part] = root;
            part = following;
        }

        return root;
    }
}
