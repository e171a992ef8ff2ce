using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_statfs_out, 80 bytes (linux/fuse.h). STATFS reply.</summary>
[StructLayout(LayoutKind.Explicit, Size = 80)]
public struct FuseStatfsOut
{
    /// <summary>The space.</summary>
    [FieldOffset(0)]
    public FuseKstatfs Stat;
}
