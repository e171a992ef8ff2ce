using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_statx_out, 288 bytes (linux/fuse.h). STATX reply (7.39).</summary>
[StructLayout(LayoutKind.Explicit, Size = 288)]
public struct FuseStatxOut
{
    /// <summary>Seconds that the attributes may be cached.</summary>
    [FieldOffset(0)]
    public ulong AttrValid;

    /// <summary>ns, below 10^9.</summary>
    [FieldOffset(8)]
    public uint AttrValidNs;

    /// <summary>Unused.</summary>
    [FieldOffset(12)]
    public uint Flags;

    /// <summary>The attributes.</summary>
    [FieldOffset(32)]
    public FuseStatx Stat;
}
