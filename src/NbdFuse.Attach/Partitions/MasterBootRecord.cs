using System.Buffers.Binary;

namespace NbdFuse.Attach.Partitions;

/// <summary>The DOS partition table: four entries, one of which may begin a chain of logical partitions.</summary>
internal static class MasterBootRecord
{
    private const int TableOffset = 446;
    private const int EntrySize = 16;
    private const int EntryCount = 4;
    private const int SignatureOffset = 510;
    private const int FirstLogical = 5;
    private const byte Protective = 0xEE;

    /// <summary>Whether a first sector holds a table, rather than the boot code of a file system.</summary>
    /// <param name="sector">The sector, 512 bytes or more.</param>
    public static bool IsValid(ReadOnlySpan<byte> sector)
    {
        if (sector[SignatureOffset] != 0x55 || sector[SignatureOffset + 1] != 0xAA)
        {
            return false;
        }

        // FAT and NTFS end with the same signature, but have code where the boot flags would be.
        for (int index = 0; index < EntryCount; index++)
        {
            if ((sector[TableOffset + (index * EntrySize)] & 0x7F) != 0)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Whether the table only says that a GPT follows.</summary>
    /// <param name="sector">A valid first sector.</param>
    public static bool IsProtective(ReadOnlySpan<byte> sector)
    {
        for (int index = 0; index < EntryCount; index++)
        {
            if (Entry(sector, index).Type == Protective)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Reads the table and its chain.</summary>
    /// <param name="read">Reads the disk.</param>
    /// <param name="sector">The valid first sector.</param>
    /// <param name="size">Size of the disk in bytes.</param>
    /// <param name="blockSize">Bytes per block.</param>
    public static IReadOnlyList<PartitionEntry> Read(DeviceRead read, ReadOnlySpan<byte> sector, long size, int blockSize)
    {
        List<PartitionEntry> result = [];
        ulong extended = 0;
        for (int index = 0; index < EntryCount; index++)
        {
            (byte type, uint start, uint length) = Entry(sector, index);
            if (IsExtended(type))
            {
                // The first one counts; a second would have no numbers left.
                extended = extended == 0 && length != 0 ? start : extended;
            }

            // The kernel gives a node to the container too, but of 2 sectors only, so that nobody formats it. Leave it out.
            if (type != 0 && !IsExtended(type) && PartitionTable.TryBound(index + 1, start, length, size, blockSize, out PartitionEntry entry))
            {
                result.Add(entry);
            }
        }

        if (extended != 0)
        {
            ReadChain(read, extended, size, blockSize, result);
        }

        return result;
    }

    private static void ReadChain(DeviceRead read, ulong extended, long size, int blockSize, List<PartitionEntry> result)
    {
        byte[] sector = new byte[blockSize];
        ulong at = extended;

        // The numbers bound the walk: a chain may lead back into itself.
        for (int number = FirstLogical; number <= PartitionTable.MaximumNumber; number++)
        {
            if (at >= (ulong)size / (ulong)blockSize || !read((long)at * blockSize, sector) || !IsValid(sector))
            {
                return;
            }

            (byte type, uint start, uint length) = Entry(sector, 0);
            if (type != 0 && !IsExtended(type) && PartitionTable.TryBound(number, at + start, length, size, blockSize, out PartitionEntry entry))
            {
                result.Add(entry);
            }

            (byte linkType, uint link, uint linkLength) = Entry(sector, 1);
            if (!IsExtended(linkType) || link == 0 || linkLength == 0)
            {
                return;
            }

            at = extended + link;
        }
    }

    private static bool IsExtended(byte type) => type is 0x05 or 0x0F or 0x85;

    private static (byte Type, uint Start, uint Length) Entry(ReadOnlySpan<byte> sector, int index)
    {
        ReadOnlySpan<byte> entry = sector.Slice(TableOffset + (index * EntrySize), EntrySize);
        return (entry[4], BinaryPrimitives.ReadUInt32LittleEndian(entry[8..]), BinaryPrimitives.ReadUInt32LittleEndian(entry[12..]));
    }
}
