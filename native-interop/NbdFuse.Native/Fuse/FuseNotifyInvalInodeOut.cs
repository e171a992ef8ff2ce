using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_notify_inval_inode_out, 24 bytes (linux/fuse.h). Notification: drop cached attributes and data of a node.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
public struct FuseNotifyInvalInodeOut
{
    /// <summary>Node.</summary>
    [FieldOffset(0)]
    public ulong Inode;

    /// <summary>Byte offset; negative drops the attributes only.</summary>
    [FieldOffset(8)]
    public long Offset;

    /// <summary>Bytes; 0 or less reaches to the end.</summary>
    [FieldOffset(16)]
    public long Length;
}
