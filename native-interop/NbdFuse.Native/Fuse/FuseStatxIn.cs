using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_statx_in, 24 bytes (linux/fuse.h). STATX request (7.39).</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
public struct FuseStatxIn
{
    /// <summary>1: the handle is valid.</summary>
    [FieldOffset(0)]
    public uint GetattrFlags;

    /// <summary>Unused.</summary>
    [FieldOffset(4)]
    public uint Reserved;

    /// <summary>File handle.</summary>
    [FieldOffset(8)]
    public ulong Handle;

    /// <summary>AT_STATX_ flags.</summary>
    [FieldOffset(16)]
    public uint Flags;

    /// <summary>STATX_ bits asked for.</summary>
    [FieldOffset(20)]
    public uint Mask;
}
