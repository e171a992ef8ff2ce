using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_syncfs_in, 8 bytes (linux/fuse.h). SYNCFS request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
public struct FuseSyncfsIn
{
    /// <summary>Unused.</summary>
    [FieldOffset(0)]
    public ulong Padding;
}
