namespace NbdFuse.Cache;

/// <summary>
/// The last reads that belong to no stream, and which of them are the beginning of one.
/// </summary>
/// <remarks>
/// Every random read passes here, so that nothing is searched: three tables say by a hash where the entry would be. What one
/// of them forgets, since another entry has the same hash, costs a reader one read more until it is recognised.
/// THREADING: one thread. Nothing is allocated after the constructor.
/// </remarks>
internal sealed class ReadNursery
{
    private const int Entries = 64;
    private const int RegionShift = 22;
    private const int LargeRead = 64 << 10;
    private const int HashBits = 10;
    private readonly long[] _ends = new long[Entries];
    private readonly long[] _expected = new long[Entries];
    private readonly long[] _regions = new long[Entries];
    private readonly long[] _last = new long[Entries];
    private readonly long[] _run = new long[Entries];
    private readonly int[] _count = new int[Entries];
    private readonly byte[] _byEnd = new byte[1 << HashBits];
    private readonly byte[] _byExpected = new byte[1 << HashBits];
    private readonly byte[] _byRegion = new byte[1 << HashBits];
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
        long region = offset >> RegionShift;
        int entry = _byEnd[Hash(offset)];
        if (_ends[entry] == offset)
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
            SetEnd(entry, offset + length);
            SetRegion(entry, region);
            return false;
        }

        entry = _byExpected[Hash(offset)];
        if (_expected[entry] == offset)
        {
            stride = offset - _last[entry];
            if (++_count[entry] >= 3)
            {
                run = length * 4;
                Clear(entry);
                return true;
            }

            _last[entry] = offset;
            SetEnd(entry, offset + length);
            SetExpected(entry, Expect(offset, stride));
            SetRegion(entry, region);
            return false;
        }

        // A neighbour that is not committed yet: perhaps the two are the beginning of equal steps.
        entry = _byRegion[Hash(region)];
        if (_regions[entry] == region && _count[entry] == 0 && _last[entry] != offset)
        {
            SetExpected(entry, Expect(offset, offset - _last[entry]));
            _count[entry] = 1;
            _last[entry] = offset;
            SetEnd(entry, offset + length);
            _run[entry] = length;
            return false;
        }

        entry = _position;
        _position = (_position + 1) % Entries;
        SetEnd(entry, offset + length);
        _expected[entry] = -1;
        SetRegion(entry, region);
        _last[entry] = offset;
        _run[entry] = length;
        _count[entry] = 0;
        return false;
    }

    private static int Hash(long key) => (int)(((ulong)key * 0x9E3779B97F4A7C15) >> (64 - HashBits));

    private static long Expect(long offset, long stride)
    {
        long expected = unchecked(offset + stride);
        return expected < 0 ? -1 : expected;
    }

    private void SetEnd(int entry, long end)
    {
        _ends[entry] = end;
        _byEnd[Hash(end)] = (byte)entry;
    }

    private void SetExpected(int entry, long expected)
    {
        _expected[entry] = expected;
        _byExpected[Hash(expected)] = (byte)entry;
    }

    private void SetRegion(int entry, long region)
    {
        _regions[entry] = region;
        _byRegion[Hash(region)] = (byte)entry;
    }

    private void Clear(int entry)
    {
        _ends[entry] = -1;
        _expected[entry] = -1;
        _regions[entry] = -1;
        _count[entry] = 0;
    }
}
