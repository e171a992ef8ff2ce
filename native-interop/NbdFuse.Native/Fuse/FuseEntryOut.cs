using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_entry_out, 128 bytes (linux/fuse.h). LOOKUP reply.</summary>
[StructLayout(LayoutKind.Explicit, Size = 128)]
public struct FuseEntryOut
{
    /// <summary>Node; 0 with a validity caches the absence.</summary>
    [FieldOffset(0)]
    public ulong NodeId;

    /// <summary>Distinguishes reuses of a node id.</summary>
    [FieldOffset(8)]
    public ulong Generation;

    /// <summary>Seconds that the name may be cached.</summary>
    [FieldOffset(16)]
    public ulong EntryValid;

    /// <summary>Seconds that the attributes may be cached.</summary>
    [FieldOffset(24)]
    public ulong AttrValid;

    /// <summary>ns, below 10^9.</summary>
    [FieldOffset(32)]
    public uint EntryValidNs;

    /// <summary>ns, below 10^9.</summary>
    [FieldOffset(36)]
    public uint AttrValidNs;

    /// <summary>The attributes.</summary>
    [FieldOffset(40)]
    public FuseAttr Attr;
}
