using System.Buffers.Binary;

namespace NbdFuse.Attach.Partitions;

/// <summary>GPT (UEFI specification, chapter 5): a header with checksums at the start, its copy at the end.</summary>
internal static class GuidPartitionTable
{
    private const int MinimumHeader = 92;
    private const int MinimumEntry = 128;
    private const int MaximumEntry = 4096;

    // 128 entries of 128 bytes are usual; nobody needs more than the kernel has numbers for.
    private const int MaximumCount = 1024;

    /// <summary>First eight bytes of a header.</summary>
    public static ReadOnlySpan<byte> Signature => "EFI PART"u8;

    /// <summary>Reads the table at the start, or the copy at the end when that one is damaged.</summary>
    /// <param name="read">Reads the disk.</param>
    /// <param name="size">Size of the disk in bytes.</param>
    /// <param name="blockSize">Bytes per block.</param>
    /// <returns>The partitions; null when neither table is valid.</returns>
    public static IReadOnlyList<PartitionEntry>? Read(DeviceRead read, long size, int blockSize)
    {
        long blocks = size / blockSize;
        return ReadAt(read, 1, size, blockSize) ?? (blocks > 2 ? ReadAt(read, blocks - 1, size, blockSize) : null);
    }

    private static List<PartitionEntry>? ReadAt(DeviceRead read, long block, long size, int blockSize)
    {
        byte[] header = new byte[blockSize];
        if ((block + 1) * blockSize > size || !read(block * blockSize, header) || !IsValid(header, block))
        {
            return null;
        }

        ulong entriesBlock = BinaryPrimitives.ReadUInt64LittleEndian(header.AsSpan(72));
        uint count = BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(80));
        uint entrySize = BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(84));
        if (count is 0 or > MaximumCount || entrySize is < MinimumEntry or > MaximumEntry || (entrySize & (entrySize - 1)) != 0)
        {
            return null;
        }

        int length = (int)(count * entrySize);
        ulong deviceBlocks = (ulong)size / (ulong)blockSize;
        if (entriesBlock >= deviceBlocks || (ulong)length > (deviceBlocks - entriesBlock) * (ulong)blockSize)
        {
            return null;
        }

        // Whole blocks: a device is read in its own units.
        byte[] entries = new byte[(length + blockSize - 1) / blockSize * blockSize];
        if (entries.Length > size - ((long)entriesBlock * blockSize) || !read((long)entriesBlock * blockSize, entries)
            || Crc32.Compute(entries.AsSpan(0, length)) != BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(88)))
        {
            return null;
        }

        return Collect(entries.AsSpan(0, length), (int)entrySize, header, size, blockSize);
    }

    private static bool IsValid(byte[] header, long block)
    {
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(12));
        if (!header.AsSpan(0, 8).SequenceEqual(Signature) || length < MinimumHeader || length > header.Length)
        {
            return false;
        }

        uint sum = BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(16));
        byte[] copy = header.AsSpan(0, (int)length).ToArray();
        copy.AsSpan(16, 4).Clear();
        return Crc32.Compute(copy) == sum && BinaryPrimitives.ReadUInt64LittleEndian(header.AsSpan(24)) == (ulong)block;
    }

    private static List<PartitionEntry> Collect(ReadOnlySpan<byte> entries, int entrySize, byte[] header, long size, int blockSize)
    {
        ulong firstUsable = BinaryPrimitives.ReadUInt64LittleEndian(header.AsSpan(40));
        ulong lastUsable = BinaryPrimitives.ReadUInt64LittleEndian(header.AsSpan(48));
        List<PartitionEntry> result = [];
        for (int index = 0; index < entries.Length / entrySize; index++)
        {
            ReadOnlySpan<byte> entry = entries.Slice(index * entrySize, entrySize);
            ulong first = BinaryPrimitives.ReadUInt64LittleEndian(entry[32..]);
            ulong last = BinaryPrimitives.ReadUInt64LittleEndian(entry[40..]);

            // A type of zeroes is an unused entry.
            if (entry[..16].IndexOfAnyExcept((byte)0) >= 0
                && first >= firstUsable && last <= lastUsable && first <= last
                && PartitionTable.TryBound(index + 1, first, last - first + 1, size, blockSize, out PartitionEntry partition))
            {
                result.Add(partition);
            }
        }

        return result;
    }
}
