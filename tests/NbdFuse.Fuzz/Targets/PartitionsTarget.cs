using System.Buffers.Binary;
using NbdFuse.Attach.Partitions;

namespace NbdFuse.Fuzz.Targets;

/// <summary>The first blocks of a disk with MBR, logical partitions and GPT. No partition may leave the disk.</summary>
internal sealed class PartitionsTarget : IFuzzTarget
{
    private const int Sectors = 80;

    public PartitionsTarget()
    {
        // A seed that is no table would leave everything behind it untried.
        if (!Seeds.All(seed => Read(seed).Count > 0))
        {
            throw new InvalidOperationException("a seed has no partition");
        }
    }

    public string Name => "partitions";

    public IEnumerable<byte[]> Seeds
    {
        get
        {
            yield return Gpt(512);
            yield return Gpt(4096);
            byte[] mbr = new byte[Sectors * 512];
            Entry(mbr, 0, 0x83, 8, 8);
            Entry(mbr, 1, 0x05, 32, 40);
            Signature(mbr);
            Span<byte> logical = mbr.AsSpan(32 * 512);
            Entry(logical, 0, 0x83, 1, 4);
            Entry(logical, 1, 0x05, 8, 8);
            Signature(logical);
            Entry(mbr.AsSpan(40 * 512), 0, 0x82, 1, 4);
            Signature(mbr.AsSpan(40 * 512));
            yield return mbr;
        }
    }

    public void Run(byte[] input)
    {
        // Else hardly a changed table would get past its checksums. The first byte is boot code, which nobody reads.
        if (input.Length > 0 && input[0] % 2 == 0)
        {
            MendChecksums(input);
        }

        foreach (PartitionEntry entry in Read(input))
        {
            if (entry.Start < 0 || entry.Length <= 0 || entry.Start > input.Length - entry.Length
                || entry.Number is < 1 or > PartitionTable.MaximumNumber)
            {
                throw new FuzzFailureException($"{entry} on a disk of {input.Length} bytes");
            }
        }
    }

    public void Dispose()
    {
    }

    private static IReadOnlyList<PartitionEntry> Read(byte[] disk)
    {
        bool ReadAt(long offset, Span<byte> buffer)
        {
            if (offset < 0 || offset > disk.Length - buffer.Length)
            {
                throw new FuzzFailureException($"read of {buffer.Length} bytes at {offset} of a disk of {disk.Length}");
            }

            disk.AsSpan((int)offset, buffer.Length).CopyTo(buffer);
            return true;
        }

        return PartitionTable.Read(ReadAt, disk.Length, PartitionTable.BlockSizeOf(ReadAt, disk.Length));
    }

    private static byte[] Gpt(int block)
    {
        byte[] disk = new byte[Sectors * 512];
        Entry(disk, 0, 0xee, 1, (uint)((disk.Length / block) - 1));
        Signature(disk);
        Span<byte> header = disk.AsSpan(block, 92);
        "EFI PART"u8.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], 0x10000);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], 92);
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], 1);
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], (ulong)((disk.Length / block) - 1));
        BinaryPrimitives.WriteUInt64LittleEndian(header[40..], 3);
        BinaryPrimitives.WriteUInt64LittleEndian(header[48..], (ulong)((disk.Length / block) - 2));
        BinaryPrimitives.WriteUInt64LittleEndian(header[72..], 2);
        BinaryPrimitives.WriteUInt32LittleEndian(header[80..], 4);
        BinaryPrimitives.WriteUInt32LittleEndian(header[84..], 128);
        Span<byte> entries = disk.AsSpan(2 * block, 4 * 128);
        entries[..32].Fill(7);
        BinaryPrimitives.WriteUInt64LittleEndian(entries[32..], 4);
        BinaryPrimitives.WriteUInt64LittleEndian(entries[40..], 6);
        BinaryPrimitives.WriteUInt32LittleEndian(header[88..], Crc32.Compute(entries));
        BinaryPrimitives.WriteUInt32LittleEndian(header[16..], Crc32.Compute(header));
        return disk;
    }

    private static void MendChecksums(byte[] disk)
    {
        foreach (int block in new[] { 512, 4096 })
        {
            if (disk.Length < 2 * block || !disk.AsSpan(block, 8).SequenceEqual("EFI PART"u8))
            {
                continue;
            }

            Span<byte> header = disk.AsSpan(block);
            ulong at = BinaryPrimitives.ReadUInt64LittleEndian(header[72..]) * (ulong)block;
            ulong length = BinaryPrimitives.ReadUInt32LittleEndian(header[80..]) * (ulong)BinaryPrimitives.ReadUInt32LittleEndian(header[84..]);
            if (at <= (ulong)disk.Length && length <= (ulong)disk.Length - at)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(header[88..], Crc32.Compute(disk.AsSpan((int)at, (int)length)));
            }

            uint headerBytes = BinaryPrimitives.ReadUInt32LittleEndian(header[12..]);
            if (headerBytes is >= 92 and <= 512)
            {
                header.Slice(16, 4).Clear();
                BinaryPrimitives.WriteUInt32LittleEndian(header[16..], Crc32.Compute(header[..(int)headerBytes]));
            }
        }
    }

    private static void Entry(Span<byte> sector, int index, byte type, uint start, uint count)
    {
        Span<byte> entry = sector.Slice(446 + (16 * index), 16);
        entry[4] = type;
        BinaryPrimitives.WriteUInt32LittleEndian(entry[8..], start);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[12..], count);
    }

    private static void Signature(Span<byte> sector) => BinaryPrimitives.WriteUInt16LittleEndian(sector[510..], 0xaa55);
}
