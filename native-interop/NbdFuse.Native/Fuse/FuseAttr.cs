using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_attr, 88 bytes (linux/fuse.h). Attributes of a node.</summary>
[StructLayout(LayoutKind.Explicit, Size = 88)]
public struct FuseAttr
{
    /// <summary>Inode number.</summary>
    [FieldOffset(0)]
    public ulong Inode;

    /// <summary>Bytes.</summary>
    [FieldOffset(8)]
    public ulong Size;

    /// <summary>Units of 512 bytes.</summary>
    [FieldOffset(16)]
    public ulong Blocks;

    /// <summary>Seconds of the Unix epoch.</summary>
    [FieldOffset(24)]
    public ulong AccessTime;

    /// <summary>Seconds of the Unix epoch.</summary>
    [FieldOffset(32)]
    public ulong ModifyTime;

    /// <summary>Seconds of the Unix epoch.</summary>
    [FieldOffset(40)]
    public ulong ChangeTime;

    /// <summary>ns, below 10^9.</summary>
    [FieldOffset(48)]
    public uint AccessTimeNs;

    /// <summary>ns, below 10^9.</summary>
    [FieldOffset(52)]
    public uint ModifyTimeNs;

    /// <summary>ns, below 10^9.</summary>
    [FieldOffset(56)]
    public uint ChangeTimeNs;

    /// <summary>Type and permission bits.</summary>
    [FieldOffset(60)]
    public uint Mode;

    /// <summary>Hard links.</summary>
    [FieldOffset(64)]
    public uint Links;

    /// <summary>Owner.</summary>
    [FieldOffset(68)]
    public uint Uid;

    /// <summary>Group.</summary>
    [FieldOffset(72)]
    public uint Gid;

    /// <summary>Device number of a device node.</summary>
    [FieldOffset(76)]
    public uint RDevice;

    /// <summary>Preferred I/O size in bytes.</summary>
    [FieldOffset(80)]
    public uint BlockSize;

    /// <summary>1 sub-mount, 2 DAX.</summary>
    [FieldOffset(84)]
    public uint Flags;
}
