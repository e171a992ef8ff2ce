using System.Buffers.Binary;
using NbdFuse.Attach.Partitions;
using Xunit;

namespace NbdFuse.UnitTests.Attach;

/// <summary>Partition tables, good, damaged and hostile.</summary>
public sealed class PartitionTableTests
{
    private const int Size = 1 << 20;

    [Theory]
    [InlineData(512)]
    [InlineData(4096)]
    public void Gpt_gives_its_used_entries_by_number(int block)
    {
        byte[] disk = PartitionImage.Gpt(Size, block, (1, 40, 50), (3, 60, 63));

        Assert.Equal(
            [new PartitionEntry(1, 40L * block, 11L * block), new PartitionEntry(3, 60L * block, 4L * block)],
            Read(disk, block));
        Assert.Equal(block, PartitionTable.BlockSizeOf(PartitionImage.Reader(disk), disk.Length));

        // A server that counts in other units may show a tail behind the disk.
        byte[] longer = [.. disk, .. new byte[512]];
        Assert.Equal(block, PartitionTable.BlockSizeOf(PartitionImage.Reader(longer), longer.Length));
    }

    [Fact]
    public void Disk_without_a_boot_record_has_no_table_that_is_read()
    {
        byte[] disk = PartitionImage.Gpt(Size, 512, (1, 40, 50));
        Assert.True(PartitionTable.IsMarked(disk.AsSpan(0, 8192)));
        Assert.True(PartitionTable.IsMarked(PartitionImage.Mbr(Size, (0x83, 1, 1))));
        disk[510] = 0;
        Assert.False(PartitionTable.IsMarked(disk));
        Assert.Empty(Read(disk, 512));
        Assert.False(PartitionTable.IsMarked([]));
    }

    [Fact]
    public void Damaged_gpt_header_is_replaced_by_the_copy_at_the_end()
    {
        byte[] disk = PartitionImage.Gpt(Size, 512, (1, 40, 50));
        disk[512 + 60] ^= 1;
        Assert.Equal([new PartitionEntry(1, 40 * 512, 11 * 512)], Read(disk, 512));

        disk[^(512 - 60)] ^= 1;
        Assert.Empty(Read(disk, 512));
    }

    [Fact]
    public void Damaged_gpt_entries_are_not_believed()
    {
        byte[] disk = PartitionImage.Gpt(Size, 512, (1, 40, 50));
        disk[1024 + 32] ^= 1;
        disk[Size - 512 - (32 * 512) + 32] ^= 1;
        Assert.Empty(Read(disk, 512));
    }

    [Theory]
    [InlineData(84, 127u)]
    [InlineData(84, 384u)]
    [InlineData(84, 8192u)]
    [InlineData(84, 0x80000000u)]
    [InlineData(80, 0u)]
    [InlineData(80, 1025u)]
    [InlineData(80, uint.MaxValue)]
    [InlineData(72, 2047u)]
    [InlineData(72, uint.MaxValue)]
    [InlineData(12, 91u)]
    [InlineData(12, 513u)]
    [InlineData(24, 2u)]
    public void Gpt_header_that_is_out_of_bounds_is_refused_although_its_checksum_is_right(int offset, uint value)
    {
        byte[] disk = PartitionImage.Gpt(Size, 512, (1, 40, 50));
        BinaryPrimitives.WriteUInt32LittleEndian(disk.AsSpan(512 + offset), value);
        PartitionImage.Seal(disk.AsSpan(512, 512));
        disk.AsSpan(Size - 512).Clear();
        Assert.Empty(Read(disk, 512));
    }

    [Fact]
    public void Gpt_without_a_protective_mbr_does_not_count()
    {
        byte[] disk = PartitionImage.Gpt(Size, 512, (1, 40, 50));
        disk[446 + 4] = 0x83;
        Assert.Equal([new PartitionEntry(1, 512, Size - 512)], Read(disk, 512));
    }

    [Fact]
    public void Mbr_gives_primary_and_logical_partitions()
    {
        byte[] disk = PartitionImage.Mbr(Size, (0x83, 8, 100), (0x05, 200, 800));
        PartitionImage.Entry(disk, 200, 0, 0x83, 8, 42);
        PartitionImage.Entry(disk, 200, 1, 0x05, 100, 200);
        PartitionImage.Entry(disk, 300, 0, 0x82, 8, 92);
        Assert.Equal(
            [new PartitionEntry(1, 8 * 512, 100 * 512), new PartitionEntry(5, 208 * 512, 42 * 512), new PartitionEntry(6, 308 * 512, 92 * 512)],
            Read(disk, 512));
    }

    [Fact]
    public void Chain_that_leads_into_itself_ends()
    {
        byte[] disk = PartitionImage.Mbr(Size, (0x05, 200, 800));
        PartitionImage.Entry(disk, 200, 0, 0x83, 8, 42);
        PartitionImage.Entry(disk, 200, 1, 0x05, 100, 200);
        PartitionImage.Entry(disk, 300, 0, 0x83, 8, 42);
        PartitionImage.Entry(disk, 300, 1, 0x05, 100, 200);
        IReadOnlyList<PartitionEntry> entries = Read(disk, 512);
        Assert.Equal(PartitionTable.MaximumNumber - 4, entries.Count);
        Assert.Equal(PartitionTable.MaximumNumber, entries[^1].Number);
    }

    [Fact]
    public void Partition_beyond_the_end_is_cut_or_left_out()
    {
        byte[] disk = PartitionImage.Mbr(Size, (0x83, 2000, 100), (0x83, 2048, 1), (0x83, uint.MaxValue, uint.MaxValue), (0x83, 0, 5));
        Assert.Equal([new PartitionEntry(1, 2000 * 512, 48 * 512)], Read(disk, 512));
    }

    [Fact]
    public void Boot_sector_of_a_fat_file_system_is_no_table()
    {
        byte[] disk = PartitionImage.Mbr(Size, (0x83, 8, 100));
        disk[446 + 16] = 0x33;
        Assert.Empty(Read(disk, 512));
    }

    [Fact]
    public void Random_changes_never_yield_a_partition_outside_the_device()
    {
        var random = new Random(20260);
        for (int round = 0; round < 3000; round++)
        {
            byte[] disk = round % 2 == 0
                ? PartitionImage.Gpt(64 << 10, 512, (1, 40, 50), (2, 51, 60))
                : PartitionImage.Mbr(64 << 10, (0x83, 8, 50), (0x0F, 60, 60));
            for (int change = 0; change < 1 + (round % 8); change++)
            {
                int at = random.Next(3) switch { 0 => 446 + random.Next(66), 1 => 512 + random.Next(92), _ => random.Next(disk.Length) };
                disk[at] = (byte)random.Next(256);
            }

            if (round % 4 == 0)
            {
                // With right checksums, so that what lies behind them is reached.
                PartitionImage.Seal(disk.AsSpan(512, 512));
            }

            Assert.All(Read(disk, 512), entry =>
            {
                Assert.InRange(entry.Number, 1, PartitionTable.MaximumNumber);
                Assert.InRange(entry.Start, 512, disk.Length - 512);
                Assert.InRange(entry.Length, 512, disk.Length - entry.Start);
            });
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(512)]
    [InlineData(1024)]
    public void Tiny_or_unreadable_device_has_no_partitions(int size)
    {
        byte[] disk = PartitionImage.Gpt(Size, 512, (1, 40, 50))[..size];
        Assert.DoesNotContain(Read(disk, 512), entry => entry.Start + entry.Length > size);
        Assert.Empty(PartitionTable.Read((_, _) => false, Size, 512));
    }

    private static IReadOnlyList<PartitionEntry> Read(byte[] disk, int block) =>
        PartitionTable.Read(PartitionImage.Reader(disk), disk.Length, block);
}
