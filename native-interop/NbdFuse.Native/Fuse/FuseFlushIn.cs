using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_flush_in, 24 bytes (linux/fuse.h). FLUSH request: one descriptor of the open file was closed.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
public struct FuseFlushIn
{
    /// <summary>File handle.</summary>
    [FieldOffset(0)]
    public ulong Handle;

    /// <summary>Unused.</summary>
    [FieldOffset(8)]
    public uint Unused;

    /// <summary>Unused.</summary>
    [FieldOffset(12)]
    public uint Padding;

    /// <summary>Lock owner.</summary>
    [FieldOffset(16)]
    public ulong LockOwner;
}
