using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_kstatfs, 80 bytes (linux/fuse.h). Space of a file system.</summary>
[StructLayout(LayoutKind.Explicit, Size = 80)]
public struct FuseKstatfs
{
    /// <summary>Blocks, of FragmentSize bytes.</summary>
    [FieldOffset(0)]
    public ulong Blocks;

    /// <summary>Free blocks.</summary>
    [FieldOffset(8)]
    public ulong BlocksFree;

    /// <summary>Blocks free to users.</summary>
    [FieldOffset(16)]
    public ulong BlocksAvailable;

    /// <summary>Inodes.</summary>
    [FieldOffset(24)]
    public ulong Files;

    /// <summary>Free inodes.</summary>
    [FieldOffset(32)]
    public ulong FilesFree;

    /// <summary>Preferred I/O size in bytes.</summary>
    [FieldOffset(40)]
    public uint BlockSize;

    /// <summary>Longest name in bytes.</summary>
    [FieldOffset(44)]
    public uint NameLength;

    /// <summary>Bytes per block.</summary>
    [FieldOffset(48)]
    public uint FragmentSize;

    /// <summary>Unused.</summary>
    [FieldOffset(52)]
    public uint Padding;

    /// <summary>Unused.</summary>
    [FieldOffset(56)]
    public FuseReserved6 Spare;
}
