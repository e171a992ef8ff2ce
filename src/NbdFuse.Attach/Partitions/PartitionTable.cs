namespace NbdFuse.Attach.Partitions;

/// <summary>
/// Reads partition tables, for kernels that have no parser for them. What a table says is hostile input: everything is bounded by
/// the device and by <see cref="MaximumNumber"/>.
/// </summary>
public static class PartitionTable
{
    /// <summary>The highest partition number that the kernel takes (DISK_MAX_PARTS less one).</summary>
    public const int MaximumNumber = 255;

    /// <summary>Byte offset of a GPT header on a disk with blocks of 4096 bytes; see <see cref="BlockSizeOf"/>.</summary>
    private const int LargeBlock = 4096;

    private const int SmallBlock = 512;

    /// <summary>
    /// The logical block size for which a disk was partitioned: a GPT counts in blocks, and says so by where it stands.
    /// </summary>
    /// <param name="read">Reads the disk.</param>
    /// <param name="size">Its size in bytes.</param>
    /// <returns>4096 or 512, in bytes; 512 unless a GPT stands at byte 4096 and none at byte 512.</returns>
    public static int BlockSizeOf(DeviceRead read, long size)
    {
        byte[] start = new byte[LargeBlock + 8];
        return size >= start.Length && read(0, start)
            && start.AsSpan(LargeBlock, 8).SequenceEqual(GuidPartitionTable.Signature)
            && !start.AsSpan(SmallBlock, 8).SequenceEqual(GuidPartitionTable.Signature)
            ? LargeBlock
            : SmallBlock;
    }

    /// <summary>Whether a disk may have a table that <see cref="Read"/> reads: each begins with a master boot record.</summary>
    /// <param name="start">Its first 512 bytes or more.</param>
    public static bool IsMarked(ReadOnlySpan<byte> start) => start.Length >= SmallBlock && MasterBootRecord.IsValid(start);

    /// <summary>Reads GPT or MBR.</summary>
    /// <param name="read">Reads the disk.</param>
    /// <param name="size">Its size in bytes.</param>
    /// <param name="blockSize">Its logical block size in bytes, 512 to 4096.</param>
    /// <returns>The partitions in the order of their numbers; none when there is no valid table.</returns>
    public static IReadOnlyList<PartitionEntry> Read(DeviceRead read, long size, int blockSize)
    {
        byte[] sector = new byte[blockSize];
        if (size < blockSize || !read(0, sector) || !MasterBootRecord.IsValid(sector))
        {
            return [];
        }

        // As the kernel does: a GPT counts only behind a protective MBR, else an old one that was never wiped would win. And
        // what a protective MBR covers is no partition, when the GPT is damaged.
        return MasterBootRecord.IsProtective(sector)
            ? GuidPartitionTable.Read(read, size, blockSize) ?? []
            : MasterBootRecord.Read(read, sector, size, blockSize);
    }

    /// <summary>Bounds a partition by the device.</summary>
    /// <param name="number">Its number.</param>
    /// <param name="firstBlock">First block.</param>
    /// <param name="blocks">Number of blocks.</param>
    /// <param name="size">Size of the device in bytes.</param>
    /// <param name="blockSize">Bytes per block.</param>
    /// <param name="entry">The partition, cut at the end of the device.</param>
    /// <returns>False when nothing of it is inside, or when its number is too high.</returns>
    internal static bool TryBound(int number, ulong firstBlock, ulong blocks, long size, int blockSize, out PartitionEntry entry)
    {
        entry = default;
        ulong deviceBlocks = (ulong)size / (ulong)blockSize;
        if (number > MaximumNumber || blocks == 0 || firstBlock == 0 || firstBlock >= deviceBlocks)
        {
            return false;
        }

        ulong inside = Math.Min(blocks, deviceBlocks - firstBlock);
        entry = new PartitionEntry(number, (long)firstBlock * blockSize, (long)inside * blockSize);
        return true;
    }
}
