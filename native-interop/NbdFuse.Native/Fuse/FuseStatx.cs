using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_statx, 256 bytes (linux/fuse.h). Attributes of STATX (7.39).</summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
public struct FuseStatx
{
    /// <summary>STATX_ bits that are valid.</summary>
    [FieldOffset(0)]
    public uint Mask;

    /// <summary>Preferred I/O size in bytes.</summary>
    [FieldOffset(4)]
    public uint BlockSize;

    /// <summary>STATX_ATTR_ bits.</summary>
    [FieldOffset(8)]
    public ulong Attributes;

    /// <summary>Hard links.</summary>
    [FieldOffset(16)]
    public uint Links;

    /// <summary>Owner.</summary>
    [FieldOffset(20)]
    public uint Uid;

    /// <summary>Group.</summary>
    [FieldOffset(24)]
    public uint Gid;

    /// <summary>Type and permission bits.</summary>
    [FieldOffset(28)]
    public ushort Mode;

    /// <summary>Inode number.</summary>
    [FieldOffset(32)]
    public ulong Inode;

    /// <summary>Bytes.</summary>
    [FieldOffset(40)]
    public ulong Size;

    /// <summary>Units of 512 bytes.</summary>
    [FieldOffset(48)]
    public ulong Blocks;

    /// <summary>STATX_ATTR_ bits that are supported.</summary>
    [FieldOffset(56)]
    public ulong AttributesMask;

    /// <summary>Last access.</summary>
    [FieldOffset(64)]
    public FuseSxTime AccessTime;

    /// <summary>Creation.</summary>
    [FieldOffset(80)]
    public FuseSxTime BirthTime;

    /// <summary>Last change of the inode.</summary>
    [FieldOffset(96)]
    public FuseSxTime ChangeTime;

    /// <summary>Last change of the data.</summary>
    [FieldOffset(112)]
    public FuseSxTime ModifyTime;

    /// <summary>Major number of a device node.</summary>
    [FieldOffset(128)]
    public uint RDeviceMajor;

    /// <summary>Minor number of a device node.</summary>
    [FieldOffset(132)]
    public uint RDeviceMinor;

    /// <summary>Major number of the file system.</summary>
    [FieldOffset(136)]
    public uint DeviceMajor;

    /// <summary>Minor number of the file system.</summary>
    [FieldOffset(140)]
    public uint DeviceMinor;
}
