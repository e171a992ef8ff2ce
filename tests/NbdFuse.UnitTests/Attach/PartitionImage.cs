using System.Buffers.Binary;
using NbdFuse.Attach.Partitions;

namespace NbdFuse.UnitTests.Attach;

/// <summary>Makes disks with partition tables.</summary>
internal static class PartitionImage
{
    private const int Entries = 128;

    /// <summary>Reads a disk, and nothing outside.</summary>
    public static DeviceRead Reader(byte[] disk) => (offset, buffer) =>
    {
        if (offset < 0 || offset + buffer.Length > disk.Length)
        {
            return false;
        }

        disk.AsSpan((int)offset, buffer.Length).CopyTo(buffer);
        return true;
    };

    /// <summary>A disk with an MBR.</summary>
    public static byte[] Mbr(int size, params (byte Type, uint Start, uint Length)[] entries)
    {
        byte[] disk = new byte[size];
        for (int i = 0; i < entries.Length; i++)
        {
            Entry(disk, 0, i, entries[i].Type, entries[i].Start, entries[i].Length);
        }

        return disk;
    }

    /// <summary>Writes an entry of an MBR or of a link of the chain.</summary>
    public static void Entry(byte[] disk, int sector, int index, byte type, uint start, uint length)
    {
        Span<byte> table = disk.AsSpan(sector * 512, 512);
        Span<byte> entry = table[(446 + (index * 16))..];
        entry[4] = type;
        BinaryPrimitives.WriteUInt32LittleEndian(entry[8..], start);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[12..], length);
        table[510] = 0x55;
        table[511] = 0xAA;
    }

    /// <summary>A disk with a GPT and its copy.</summary>
    public static byte[] Gpt(int size, int block, params (int Number, ulong First, ulong Last)[] partitions)
    {
        byte[] disk = Mbr(size, (0xEE, 1, uint.MaxValue));
        int table = Entries * 128;
        int tableBlocks = (table + block - 1) / block;
        ulong last = (ulong)(size / block) - 1;
        byte[] entries = new byte[table];
        foreach ((int number, ulong first, ulong end) in partitions)
        {
            Span<byte> entry = entries.AsSpan((number - 1) * 128, 128);
            entry[..16].Fill(0x11);
            entry.Slice(16, 16).Fill((byte)number);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[32..], first);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[40..], end);
        }

        Write(1, 2);
        Write(last, last - (ulong)tableBlocks);
        return disk;

        void Write(ulong at, ulong entriesAt)
        {
            entries.CopyTo(disk.AsSpan((int)entriesAt * block));
            Span<byte> header = disk.AsSpan((int)at * block, block);
            "EFI PART"u8.CopyTo(header);
            BinaryPrimitives.WriteUInt32LittleEndian(header[8..], 0x10000);
            BinaryPrimitives.WriteUInt32LittleEndian(header[12..], 92);
            BinaryPrimitives.WriteUInt64LittleEndian(header[24..], at);
            BinaryPrimitives.WriteUInt64LittleEndian(header[32..], at == 1 ? last : 1);
            BinaryPrimitives.WriteUInt64LittleEndian(header[40..], 2 + (ulong)tableBlocks);
            BinaryPrimitives.WriteUInt64LittleEndian(header[48..], last - (ulong)tableBlocks - 1);
            BinaryPrimitives.WriteUInt64LittleEndian(header[72..], entriesAt);
            BinaryPrimitives.WriteUInt32LittleEndian(header[80..], Entries);
            BinaryPrimitives.WriteUInt32LittleEndian(header[84..], 128);
            BinaryPrimitives.WriteUInt32LittleEndian(header[88..], Sum(entries));
            Seal(header);
        }
    }

    /// <summary>Makes the checksum of a GPT header right.</summary>
    public static void Seal(Span<byte> header)
    {
        int length = (int)Math.Min(BinaryPrimitives.ReadUInt32LittleEndian(header[12..]), (uint)header.Length);
        header.Slice(16, 4).Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(header[16..], Sum(header[..length]));
    }

    // Bit by bit, so that it shares no mistake with the table that is tested.
    private static uint Sum(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in data)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ (0xEDB88320 & (uint)-(int)(crc & 1));
            }
        }

        return ~crc;
    }
}
