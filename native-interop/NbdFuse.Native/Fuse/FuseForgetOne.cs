using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_forget_one, 16 bytes (linux/fuse.h). One entry of BATCH_FORGET.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct FuseForgetOne
{
    /// <summary>Node.</summary>
    [FieldOffset(0)]
    public ulong NodeId;

    /// <summary>References dropped.</summary>
    [FieldOffset(8)]
    public ulong Lookups;
}
