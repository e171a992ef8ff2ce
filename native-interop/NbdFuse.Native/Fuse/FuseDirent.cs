using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_dirent, 24 bytes (linux/fuse.h). A directory entry; the name follows, the record is padded to 8 bytes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
public struct FuseDirent
{
    /// <summary>Inode number.</summary>
    [FieldOffset(0)]
    public ulong Inode;

    /// <summary>Where the next READDIR goes on.</summary>
    [FieldOffset(8)]
    public ulong Offset;

    /// <summary>Bytes of the name.</summary>
    [FieldOffset(16)]
    public uint NameLength;

    /// <summary>DT_ type: the mode's type bits shifted right by 12.</summary>
    [FieldOffset(20)]
    public uint Type;
}
