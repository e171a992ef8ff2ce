using System.Buffers.Binary;
using System.Text;

namespace NbdFuse.Boot;

/// <summary>A filesystem, as its superblock describes it. What a superblock says is hostile input; nothing of it is a length here.</summary>
/// <param name="Type">Name that mount(2) takes.</param>
/// <param name="Uuid">Its id in lower case; empty for none.</param>
/// <param name="Label">Its label; empty for none.</param>
public sealed record FilesystemProbe(string Type, string Uuid, string Label)
{
    /// <summary>Bytes from the start of a device that <see cref="Identify"/> looks at.</summary>
    public const int Length = 72 * 1024;

    private const int Ext4Superblock = 1024;
    private const int BtrfsSuperblock = 64 * 1024;

    /// <summary>Recognises the filesystem on a device.</summary>
    /// <param name="start">The first <see cref="Length"/> bytes, or all of a shorter device.</param>
    /// <returns>Null for none that is known.</returns>
    public static FilesystemProbe? Identify(ReadOnlySpan<byte> start)
    {
        if (start.Length >= 4 && start[..4].SequenceEqual("XFSB"u8))
        {
            return Make("xfs", start, 32, 108, 12);
        }

        if (start.Length >= 4 && start[..4].SequenceEqual("hsqs"u8))
        {
            return new FilesystemProbe("squashfs", string.Empty, string.Empty);
        }

        // The driver of ext4 mounts ext2 and ext3 too.
        if (start.Length >= Ext4Superblock + 136 && BinaryPrimitives.ReadUInt16LittleEndian(start[(Ext4Superblock + 56)..]) == 0xEF53)
        {
            return Make("ext4", start, Ext4Superblock + 104, Ext4Superblock + 120, 16);
        }

        if (start.Length >= Ext4Superblock + 4)
        {
            switch (BinaryPrimitives.ReadUInt32LittleEndian(start[Ext4Superblock..]))
            {
                case 0xF2F52010:
                    FilesystemProbe f2fs = Make("f2fs", start, Ext4Superblock + 108, 0, 0);
                    return start.Length < Ext4Superblock + 124 + 1024
                        ? f2fs
                        : f2fs with { Label = Encoding.Unicode.GetString(start.Slice(Ext4Superblock + 124, 1024)).Split('\0')[0] };
                case 0xE0F5E1E2:
                    return Make("erofs", start, Ext4Superblock + 48, Ext4Superblock + 64, 16);
            }
        }

        return start.Length >= BtrfsSuperblock + 4096 && start.Slice(BtrfsSuperblock + 64, 8).SequenceEqual("_BHRfS_M"u8)
            ? Make("btrfs", start, BtrfsSuperblock + 32, BtrfsSuperblock + 299, 256)
            : null;
    }

    /// <summary>An id in the order in which its bytes lie on the disk.</summary>
    /// <param name="bytes">16 bytes.</param>
    internal static string UuidText(ReadOnlySpan<byte> bytes)
    {
        string digits = Convert.ToHexStringLower(bytes);
        return $"{digits[..8]}-{digits[8..12]}-{digits[12..16]}-{digits[16..20]}-{digits[20..]}";
    }

    private static FilesystemProbe Make(string type, ReadOnlySpan<byte> start, int uuid, int label, int labelLength)
    {
        string id = start.Length >= uuid + 16 ? UuidText(start.Slice(uuid, 16)) : string.Empty;
        string name = start.Length >= label + labelLength ? Encoding.UTF8.GetString(start.Slice(label, labelLength)).Split('\0')[0] : string.Empty;
        return new FilesystemProbe(type, id, name);
    }
}
