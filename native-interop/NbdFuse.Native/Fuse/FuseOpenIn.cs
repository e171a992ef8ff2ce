using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_open_in, 8 bytes (linux/fuse.h). OPEN and OPENDIR request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
public struct FuseOpenIn
{
    /// <summary>The kernel's O_ flags, see Posix.FromNativeOpenFlags.</summary>
    [FieldOffset(0)]
    public uint Flags;

    /// <summary>1: clear set-user-id bits.</summary>
    [FieldOffset(4)]
    public uint OpenFlags;
}
