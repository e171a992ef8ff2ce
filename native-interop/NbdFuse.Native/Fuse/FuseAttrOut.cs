using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_attr_out, 104 bytes (linux/fuse.h). GETATTR and SETATTR reply.</summary>
[StructLayout(LayoutKind.Explicit, Size = 104)]
public struct FuseAttrOut
{
    /// <summary>Seconds that the attributes may be cached.</summary>
    [FieldOffset(0)]
    public ulong AttrValid;

    /// <summary>ns, below 10^9.</summary>
    [FieldOffset(8)]
    public uint AttrValidNs;

    /// <summary>Unused.</summary>
    [FieldOffset(12)]
    public uint Dummy;

    /// <summary>The attributes.</summary>
    [FieldOffset(16)]
    public FuseAttr Attr;
}
