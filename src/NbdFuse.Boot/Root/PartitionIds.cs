using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace NbdFuse.Boot;

/// <summary>What identifies a partition in its table.</summary>
/// <param name="Number">From 1.</param>
/// <param name="Uuid">PARTUUID as the kernel has it, in lower case.</param>
/// <param name="Name">PARTLABEL; empty for none.</param>
public sealed record PartitionIds(int Number, string Uuid, string Name)
{
    private const int EntrySize = 128;
    private const int MaximumNumber = 255;

    /// <summary>Reads the ids. Which of these partitions are valid, their nodes tell.</summary>
    /// <param name="start">The first bytes of the disk, as for <see cref="FilesystemProbe"/>.</param>
    public static IReadOnlyList<PartitionIds> Read(ReadOnlySpan<byte> start)
    {
        foreach (int block in new[] { 512, 4096 })
        {
            if (start.Length >= block + 92 && start.Slice(block, 8).SequenceEqual("EFI PART"u8))
            {
                return ReadGpt(start, block);
            }
        }

        List<PartitionIds> result = [];
        if (start.Length >= 512 && start[510] == 0x55 && start[511] == 0xAA)
        {
            uint signature = BinaryPrimitives.ReadUInt32LittleEndian(start[440..]);

            // Logical partitions are numbered on; their ids follow from their numbers alone.
            for (int number = 1; number <= MaximumNumber; number++)
            {
                result.Add(new PartitionIds(number, string.Create(CultureInfo.InvariantCulture, $"{signature:x8}-{number:x2}"), string.Empty));
            }
        }

        return result;
    }

    private static List<PartitionIds> ReadGpt(ReadOnlySpan<byte> start, int block)
    {
        ulong first = BinaryPrimitives.ReadUInt64LittleEndian(start[(block + 72)..]);
        uint count = BinaryPrimitives.ReadUInt32LittleEndian(start[(block + 80)..]);
        uint size = BinaryPrimitives.ReadUInt32LittleEndian(start[(block + 84)..]);
        List<PartitionIds> result = [];
        if (first > (ulong)(start.Length / block) || size < EntrySize || size > (uint)start.Length)
        {
            return result;
        }

        for (int index = 0; index < Math.Min(count, MaximumNumber); index++)
        {
            long at = ((long)first * block) + (index * (long)size);
            if (at + EntrySize > start.Length)
            {
                break;
            }

            ReadOnlySpan<byte> entry = start.Slice((int)at, EntrySize);
            if (entry[..16].IndexOfAnyExcept((byte)0) >= 0)
            {
                // The first three fields of the id are little endian.
                string uuid = new Guid(entry.Slice(16, 16)).ToString("D");
                result.Add(new PartitionIds(index + 1, uuid, Encoding.Unicode.GetString(entry.Slice(56, 72)).Split('\0')[0]));
            }
        }

        return result;
    }
}
