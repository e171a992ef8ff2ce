using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_read_in, 40 bytes (linux/fuse.h). READ and READDIR request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
public struct FuseReadIn
{
    /// <summary>File handle.</summary>
    [FieldOffset(0)]
    public ulong Handle;

    /// <summary>Byte offset.</summary>
    [FieldOffset(8)]
    public ulong Offset;

    /// <summary>Bytes.</summary>
    [FieldOffset(16)]
    public uint Size;

    /// <summary>2: the lock owner is valid.</summary>
    [FieldOffset(20)]
    public uint ReadFlags;

    /// <summary>Lock owner.</summary>
    [FieldOffset(24)]
    public ulong LockOwner;

    /// <summary>The open file's O_ flags.</summary>
    [FieldOffset(32)]
    public uint Flags;

    /// <summary>Unused.</summary>
    [FieldOffset(36)]
    public uint Padding;
}
