using System.Buffers.Binary;

namespace NbdFuse.Cache;

/// <summary>
/// What was read from an export, in its order: ranges of whole granules of 4 KiB, none of which is in it twice. Immutable.
/// docs/CACHE.md has the format of the file.
/// </summary>
public sealed class AccessTrace
{
    /// <summary>Most ranges in a trace.</summary>
    public const int MaximumEntries = 1 << 17;

    /// <summary>Most granules of a range: 1 MiB.</summary>
    public const int MaximumGranules = 256;

    /// <summary>Most bytes of a file; longer ones are not even read.</summary>
    public const int MaximumFileBytes = HeaderBytes + (MaximumEntries * MaximumEntryBytes) + ChecksumBytes;

    private const uint Version = 1;
    private const int HeaderBytes = 24;
    private const int ChecksumBytes = 4;

    // 9 of a distance of 57 bits, 2 of a count.
    private const int MaximumEntryBytes = 11;
    private const int GranuleShift = CacheMemoryLayout.GranuleShift;
    private readonly (long Granule, int Count)[] _entries;

    private AccessTrace(long size, (long Granule, int Count)[] entries)
    {
        Size = size;
        _entries = entries;
    }

    /// <summary>Size of the export, in bytes: a trace says nothing about an export of another size.</summary>
    public long Size { get; }

    /// <summary>Number of ranges.</summary>
    public int Count => _entries.Length;

    /// <summary>Bytes of all ranges, of which the last granule of the export may be cut.</summary>
    public long Bytes => _entries.Sum(entry => (long)entry.Count << GranuleShift);

    private static ReadOnlySpan<byte> Magic => "NBDTRACE"u8;

    /// <summary>A range.</summary>
    /// <param name="index">0 to <see cref="Count"/> - 1, in the order in which they were read.</param>
    /// <returns>Its first granule, and how many they are.</returns>
    public (long Granule, int Count) this[int index] => _entries[index];

    /// <summary>Makes a trace of reads, leaving out what is in it already.</summary>
    /// <param name="size">Size of the export, in bytes.</param>
    /// <param name="reads">Ranges of granules within the export, up to half of <see cref="MaximumEntries"/>.</param>
    public static AccessTrace Of(long size, IReadOnlyList<(long Granule, int Count)> reads)
    {
        ArgumentNullException.ThrowIfNull(reads);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(reads.Count, MaximumEntries / 2);

        // Between neighbouring bounds nothing begins or ends: each of these pieces belongs to the first read that has it.
        long[] bounds = [.. reads.SelectMany(read => new[] { read.Granule, read.Granule + read.Count }).Distinct().Order()];
        int[] next = [.. Enumerable.Range(0, bounds.Length + 1)];
        var entries = new List<(long Granule, int Count)>(reads.Count);
        foreach ((long granule, int count) in reads)
        {
            int last = -1;
            for (int piece = Free(next, Array.BinarySearch(bounds, granule)); piece < bounds.Length - 1 && bounds[piece] < granule + count; piece = Free(next, piece))
            {
                next[piece] = piece + 1;
                int length = (int)(bounds[piece + 1] - bounds[piece]);
                if (last == piece - 1 && last >= 0)
                {
                    entries[^1] = (entries[^1].Granule, entries[^1].Count + length);
                }
                else
                {
                    entries.Add((bounds[piece], length));
                }

                last = piece;
            }
        }

        return new AccessTrace(size, [.. entries]);
    }

    /// <summary>Reads a file.</summary>
    /// <param name="path">Its path.</param>
    /// <exception cref="AccessTraceException">It holds no trace.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static AccessTrace Read(string path)
    {
        using FileStream file = File.OpenRead(path);
        byte[] bytes = new byte[MaximumFileBytes + 1];
        int length = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        try
        {
            return Parse(bytes.AsSpan(0, length));
        }
        catch (AccessTraceException e)
        {
            throw new AccessTraceException($"{path}: {e.Message}");
        }
    }

    /// <summary>Reads the content of a file.</summary>
    /// <param name="data">All of it.</param>
    /// <exception cref="AccessTraceException">It holds no trace.</exception>
    public static AccessTrace Parse(ReadOnlySpan<byte> data)
    {
        if (data.Length < HeaderBytes + ChecksumBytes || !data.StartsWith(Magic))
        {
            throw new AccessTraceException("this is no access trace; nbdfuse --record writes them");
        }

        uint version = BinaryPrimitives.ReadUInt32LittleEndian(data[8..]);
        if (version != Version)
        {
            throw new AccessTraceException($"this access trace has version {version}, and this program knows version {Version} only: record it again");
        }

        uint count = BinaryPrimitives.ReadUInt32LittleEndian(data[12..]);
        long size = BinaryPrimitives.ReadInt64LittleEndian(data[16..]);
        ReadOnlySpan<byte> body = data[HeaderBytes..^ChecksumBytes];

        // Two bytes of each at least: a count that lies costs no memory.
        if (count > MaximumEntries || count > body.Length / 2 || data.Length > MaximumFileBytes || size < 0
            || Checksum(data[..^ChecksumBytes]) != BinaryPrimitives.ReadUInt32LittleEndian(data[^ChecksumBytes..]))
        {
            throw Damaged();
        }

        long granules = GranulesOf(size);
        var entries = new (long Granule, int Count)[count];
        long end = 0;
        for (int i = 0; i < entries.Length; i++)
        {
            ulong distance = ReadVarint(ref body);
            ulong length = ReadVarint(ref body);
            long start = unchecked(end + ((long)(distance >> 1) ^ -(long)(distance & 1)));
            if (length >= MaximumGranules || start < 0 || start >= granules || granules - start < (long)length + 1)
            {
                throw Damaged();
            }

            entries[i] = (start, (int)length + 1);
            end = start + (long)length + 1;
        }

        (long Granule, int Count)[] sorted = [.. entries.Order()];
        for (int i = 1; i < sorted.Length; i++)
        {
            if (sorted[i].Granule < sorted[i - 1].Granule + sorted[i - 1].Count)
            {
                throw Damaged();
            }
        }

        return body.IsEmpty ? new AccessTrace(size, entries) : throw Damaged();
    }

    /// <summary>Makes the content of a file.</summary>
    public byte[] ToBytes()
    {
        using var stream = new MemoryStream();
        Span<byte> header = stackalloc byte[HeaderBytes];
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], Version);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], (uint)_entries.Length);
        BinaryPrimitives.WriteInt64LittleEndian(header[16..], Size);
        stream.Write(header);
        long end = 0;
        foreach ((long granule, int count) in _entries)
        {
            long distance = granule - end;
            WriteVarint(stream, (ulong)((distance << 1) ^ (distance >> 63)));
            WriteVarint(stream, (ulong)count - 1);
            end = granule + count;
        }

        Span<byte> checksum = stackalloc byte[ChecksumBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(checksum, Checksum(stream.GetBuffer().AsSpan(0, (int)stream.Length)));
        stream.Write(checksum);
        return stream.ToArray();
    }

    /// <summary>Writes a file; one that is there stays whole until the new one is.</summary>
    /// <param name="path">Its path.</param>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Write(string path)
    {
        string temporary = path + ".new";
        File.WriteAllBytes(temporary, ToBytes());
        File.Move(temporary, path, overwrite: true);
    }

    private static long GranulesOf(long size) => (size >> GranuleShift) + ((size & ((1 << GranuleShift) - 1)) != 0 ? 1 : 0);

    private static AccessTraceException Damaged() => new("this access trace is damaged: record it again");

    /// <summary>The first piece from one on that belongs to nobody yet (union-find with halving of paths).</summary>
    private static int Free(int[] next, int piece)
    {
        while (next[piece] != piece)
        {
            next[piece] = next[next[piece]];
            piece = next[piece];
        }

        return piece;
    }

    // LEB128, at most 64 bits.
    private static ulong ReadVarint(ref ReadOnlySpan<byte> data)
    {
        ulong value = 0;
        for (int i = 0, shift = 0; i < data.Length && shift < 64; i++, shift += 7)
        {
            byte next = data[i];
            if (shift == 63 && next > 1)
            {
                break;
            }

            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                data = data[(i + 1)..];
                return value;
            }
        }

        throw Damaged();
    }

    private static void WriteVarint(MemoryStream stream, ulong value)
    {
        for (; value >= 0x80; value >>= 7)
        {
            stream.WriteByte((byte)(value | 0x80));
        }

        stream.WriteByte((byte)value);
    }

    // CRC-32 as in zlib (polynomial 0xEDB88320, reflected).
    private static uint Checksum(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte next in data)
        {
            crc ^= next;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ (0xEDB88320 & (uint)-(int)(crc & 1));
            }
        }

        return ~crc;
    }
}
