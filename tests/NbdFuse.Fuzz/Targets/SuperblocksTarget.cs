using System.Buffers.Binary;
using System.Text;
using NbdFuse.Boot;

namespace NbdFuse.Fuzz.Targets;

/// <summary>The start of a device: filesystems by their superblocks, ids of partitions.</summary>
internal sealed class SuperblocksTarget : IFuzzTarget
{
    private const int Ext4 = 1024;

    public SuperblocksTarget()
    {
        if (Seeds.Any(seed => FilesystemProbe.Identify(Padded(seed)) is null && PartitionIds.Read(Padded(seed)).Count == 0))
        {
            throw new InvalidOperationException("a seed is recognised as nothing");
        }
    }

    public string Name => "superblocks";

    /// <summary>Most of a superblock is zero; where btrfs begins is farther than inputs reach, so that its seed is what stands there.</summary>
    public IEnumerable<byte[]> Seeds
    {
        get
        {
            byte[] ext4 = new byte[Ext4 + 256];
            BinaryPrimitives.WriteUInt16LittleEndian(ext4.AsSpan(Ext4 + 56), 0xEF53);
            Encoding.ASCII.GetBytes("label").CopyTo(ext4, Ext4 + 120);
            yield return ext4;
            byte[] xfs = new byte[512];
            "XFSB"u8.CopyTo(xfs);
            "name"u8.CopyTo(xfs.AsSpan(108));
            yield return xfs;
            byte[] f2fs = new byte[Ext4 + 124 + 1024];
            BinaryPrimitives.WriteUInt32LittleEndian(f2fs.AsSpan(Ext4), 0xF2F52010);
            Encoding.Unicode.GetBytes("label").CopyTo(f2fs, Ext4 + 124);
            yield return f2fs;
            byte[] erofs = new byte[Ext4 + 128];
            BinaryPrimitives.WriteUInt32LittleEndian(erofs.AsSpan(Ext4), 0xE0F5E1E2);
            yield return erofs;
            byte[] gpt = new byte[2048];
            "EFI PART"u8.CopyTo(gpt.AsSpan(512));
            BinaryPrimitives.WriteUInt64LittleEndian(gpt.AsSpan(512 + 72), 2);
            BinaryPrimitives.WriteUInt32LittleEndian(gpt.AsSpan(512 + 80), 4);
            BinaryPrimitives.WriteUInt32LittleEndian(gpt.AsSpan(512 + 84), 128);
            gpt.AsSpan(1024, 32).Fill(9);
            Encoding.Unicode.GetBytes("root").CopyTo(gpt, 1024 + 56);
            yield return gpt;
            byte[] mbr = new byte[512];
            (mbr[510], mbr[511]) = (0x55, 0xAA);
            yield return mbr;
        }
    }

    public void Run(byte[] input)
    {
        Look(input);
        Look(Padded(input));

        // btrfs, whose superblock is at 64 KiB.
        byte[] far = Padded([]);
        input.AsSpan(0, Math.Min(input.Length, 4096)).CopyTo(far.AsSpan(64 * 1024));
        "_BHRfS_M"u8.CopyTo(far.AsSpan((64 * 1024) + 64));
        Look(far);
    }

    public void Dispose()
    {
    }

    private static void Look(byte[] start)
    {
        if (FilesystemProbe.Identify(start) is { } found && (found.Type.Length == 0 || found.Label.Contains('\0') || found.Uuid.Length is not (0 or 36)))
        {
            throw new FuzzFailureException($"this is no filesystem: {found}");
        }

        foreach (PartitionIds partition in PartitionIds.Read(start))
        {
            if (partition.Number is < 1 or > 255 || partition.Name.Contains('\0'))
            {
                throw new FuzzFailureException($"this is no partition: {partition}");
            }
        }
    }

    private static byte[] Padded(byte[] input)
    {
        byte[] start = new byte[FilesystemProbe.Length];
        input.AsSpan(0, Math.Min(input.Length, start.Length)).CopyTo(start);
        return start;
    }
}
