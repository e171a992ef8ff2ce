using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_fsync_in, 16 bytes (linux/fuse.h). FSYNC and FSYNCDIR request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct FuseFsyncIn
{
    /// <summary>File handle.</summary>
    [FieldOffset(0)]
    public ulong Handle;

    /// <summary>1: data only.</summary>
    [FieldOffset(8)]
    public uint FsyncFlags;

    /// <summary>Unused.</summary>
    [FieldOffset(12)]
    public uint Padding;
}
