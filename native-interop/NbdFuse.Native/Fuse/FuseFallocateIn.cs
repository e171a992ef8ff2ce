using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_fallocate_in, 32 bytes (linux/fuse.h). FALLOCATE request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
public struct FuseFallocateIn
{
    /// <summary>File handle.</summary>
    [FieldOffset(0)]
    public ulong Handle;

    /// <summary>Byte offset.</summary>
    [FieldOffset(8)]
    public ulong Offset;

    /// <summary>Bytes.</summary>
    [FieldOffset(16)]
    public ulong Length;

    /// <summary>FALLOC_FL_ bits, see the Fallocate constants of Posix.</summary>
    [FieldOffset(24)]
    public uint Mode;

    /// <summary>Unused.</summary>
    [FieldOffset(28)]
    public uint Padding;
}
