using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_forget_in, 8 bytes (linux/fuse.h). FORGET request; has no reply.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
public struct FuseForgetIn
{
    /// <summary>References dropped.</summary>
    [FieldOffset(0)]
    public ulong Lookups;
}
