namespace NbdFuse.Cache;

/// <summary>
/// The last reads that belong to no stream, and which of them are the beginning of one. Every random read passes here, so it
/// is made of arrays that are searched by vector instructions.
/// </summary>
/// <remarks>THREADING: one thread. Nothing is allocated after the constructor.</remarks>
internal sealed class ReadNursery
{
    private const int Entries = 64;
    private const int RegionShift = 22;
    private const int LargeRead = 64 << 10;
    private readonly long[] _ends = new long[Entries];
    private readonly long[] _expected = new long[Entries];
    private readonly long[] _regions = new long[Entries];
    private readonly long[] _last = new long[Entries];
    private readonly long[] _run = new long[Entries];
    private readonly int[] _count = new int[Entries];
    private int _position;

    /// <summary>Makes an empty nursery.</summary>
    public ReadNursery()
    {
        _ends.AsSpan().Fill(-1);
        _expected.AsSpan().Fill(-1);
        _regions.AsSpan().Fill(-1);
    }

    /// <summary>Notes a read that belongs to no stream.</summary>
    /// <param name="offset">Its first byte.</param>
    /// <param name="length">Its bytes.</param>
    /// <param name="stride">Bytes between the beginnings of its reads; 0: one follows the other.</param>
    /// <param name="run">Bytes read in order so far.</param>
    /// <returns>True when it makes a stream of some earlier ones and itself.</returns>
    public bool Add(long offset, long length, out long stride, out long run)
    {
        stride = 0;
        run = 0;
        int entry = _ends.AsSpan().IndexOf(offset);
        if (entry >= 0)
        {
            // Two in order may be chance; a long second one hardly.
            if (++_count[entry] >= 2 || length >= LargeRead)
            {
                run = _run[entry] + length;
                Clear(entry);
                return true;
            }

            _run[entry] += length;
            _last[entry] = offset;
            _ends[entry] = offset + length;
            _regions[entry] = offset >> RegionShift;
            return false;
        }

        entry = _expected.AsSpan().IndexOf(offset);
        if (entry >= 0)
        {
            stride = offset - _last[entry];
            if (++_count[entry] >= 3)
            {
                run = length * 4;
                Clear(entry);
                return true;
            }

            _last[entry] = offset;
            _ends[entry] = offset + length;
            _expected[entry] = Expect(offset, stride);
            _regions[entry] = offset >> RegionShift;
            return false;
        }

        // A neighbour that is not committed yet: perhaps the two are the beginning of equal steps.
        entry = _regions.AsSpan().IndexOf(offset >> RegionShift);
        if (entry >= 0 && _count[entry] == 0 && _last[entry] != offset)
        {
            _expected[entry] = Expect(offset, offset - _last[entry]);
            _count[entry] = 1;
            _last[entry] = offset;
            _ends[entry] = offset + length;
            _run[entry] = length;
            return false;
        }

        entry = _position;
        _position = (_position + 1) % Entries;
        _ends[entry] = offset + length;
        _expected[entry] = -1;
        _regions[entry] = offset >> RegionShift;
        _last[entry] = offset;
        _run[entry] = length;
        _count[entry] = 0;
        return false;
    }

    private static long Expect(long offset, long stride)
    {
        long expected = unchecked(offset + stride);
        return expected < 0 ? -1 : expected;
    }

    private void Clear(int entry)
    {
        _ends[entry] = -1;
        _expected[entry] = -1;
        _regions[entry] = -1;
        _count[entry] = 0;
    }
}
