using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_write_out, 8 bytes (linux/fuse.h). WRITE reply.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
public struct FuseWriteOut
{
    /// <summary>Bytes written.</summary>
    [FieldOffset(0)]
    public uint Size;

    /// <summary>Unused.</summary>
    [FieldOffset(4)]
    public uint Padding;
}
