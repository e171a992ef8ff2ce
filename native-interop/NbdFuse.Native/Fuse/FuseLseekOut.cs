using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_lseek_out, 8 bytes (linux/fuse.h). LSEEK reply.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
public struct FuseLseekOut
{
    /// <summary>Byte offset found.</summary>
    [FieldOffset(0)]
    public ulong Offset;
}
