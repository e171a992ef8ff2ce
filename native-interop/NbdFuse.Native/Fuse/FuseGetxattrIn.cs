using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_getxattr_in, 8 bytes (linux/fuse.h). GETXATTR and LISTXATTR request; a name follows.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
public struct FuseGetxattrIn
{
    /// <summary>Bytes of the caller's buffer; 0 asks for the size.</summary>
    [FieldOffset(0)]
    public uint Size;

    /// <summary>Unused.</summary>
    [FieldOffset(4)]
    public uint Padding;
}
