using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_batch_forget_in, 8 bytes (linux/fuse.h). BATCH_FORGET request; FuseForgetOne entries follow; has no reply.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
public struct FuseBatchForgetIn
{
    /// <summary>Entries.</summary>
    [FieldOffset(0)]
    public uint Count;

    /// <summary>Unused.</summary>
    [FieldOffset(4)]
    public uint Dummy;
}
