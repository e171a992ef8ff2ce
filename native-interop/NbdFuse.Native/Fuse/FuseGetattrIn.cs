using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_getattr_in, 16 bytes (linux/fuse.h). GETATTR request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct FuseGetattrIn
{
    /// <summary>1: the handle is valid.</summary>
    [FieldOffset(0)]
    public uint Flags;

    /// <summary>Unused.</summary>
    [FieldOffset(4)]
    public uint Dummy;

    /// <summary>File handle.</summary>
    [FieldOffset(8)]
    public ulong Handle;
}
