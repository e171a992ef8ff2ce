using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_access_in, 8 bytes (linux/fuse.h). ACCESS request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
public struct FuseAccessIn
{
    /// <summary>R_OK, W_OK, X_OK.</summary>
    [FieldOffset(0)]
    public uint Mask;

    /// <summary>Unused.</summary>
    [FieldOffset(4)]
    public uint Padding;
}
