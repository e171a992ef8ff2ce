using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_release_in, 24 bytes (linux/fuse.h). RELEASE and RELEASEDIR request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
public struct FuseReleaseIn
{
    /// <summary>File handle.</summary>
    [FieldOffset(0)]
    public ulong Handle;

    /// <summary>The kernel's O_ flags.</summary>
    [FieldOffset(8)]
    public uint Flags;

    /// <summary>1 flush, 2 unlock.</summary>
    [FieldOffset(12)]
    public uint ReleaseFlags;

    /// <summary>Lock owner.</summary>
    [FieldOffset(16)]
    public ulong LockOwner;
}
