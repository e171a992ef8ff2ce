using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_interrupt_in, 8 bytes (linux/fuse.h). INTERRUPT request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
public struct FuseInterruptIn
{
    /// <summary>The request that its caller gave up.</summary>
    [FieldOffset(0)]
    public ulong Unique;
}
