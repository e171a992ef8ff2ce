using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_notify_retrieve_out, 32 bytes (linux/fuse.h). Notification: send page cache content as a NOTIFY_REPLY request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
public struct FuseNotifyRetrieveOut
{
    /// <summary>Returned as the request's unique.</summary>
    [FieldOffset(0)]
    public ulong NotifyUnique;

    /// <summary>Node.</summary>
    [FieldOffset(8)]
    public ulong NodeId;

    /// <summary>Byte offset.</summary>
    [FieldOffset(16)]
    public ulong Offset;

    /// <summary>Bytes.</summary>
    [FieldOffset(24)]
    public uint Size;

    /// <summary>Unused.</summary>
    [FieldOffset(28)]
    public uint Padding;
}
