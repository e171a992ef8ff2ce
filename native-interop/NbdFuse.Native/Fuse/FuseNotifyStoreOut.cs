using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_notify_store_out, 24 bytes (linux/fuse.h). Notification: put the data that follows into the page cache.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
public struct FuseNotifyStoreOut
{
    /// <summary>Node.</summary>
    [FieldOffset(0)]
    public ulong NodeId;

    /// <summary>Byte offset.</summary>
    [FieldOffset(8)]
    public ulong Offset;

    /// <summary>Bytes.</summary>
    [FieldOffset(16)]
    public uint Size;

    /// <summary>Unused.</summary>
    [FieldOffset(20)]
    public uint Padding;
}
