using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_lseek_in, 24 bytes (linux/fuse.h). LSEEK request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
public struct FuseLseekIn
{
    /// <summary>File handle.</summary>
    [FieldOffset(0)]
    public ulong Handle;

    /// <summary>Byte offset.</summary>
    [FieldOffset(8)]
    public ulong Offset;

    /// <summary>3 data, 4 hole.</summary>
    [FieldOffset(16)]
    public uint Whence;

    /// <summary>Unused.</summary>
    [FieldOffset(20)]
    public uint Padding;
}
