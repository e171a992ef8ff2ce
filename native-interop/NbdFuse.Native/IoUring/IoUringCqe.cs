using System.Runtime.InteropServices;

namespace NbdFuse.Native.IoUring;

/// <summary>struct io_uring_cqe, 16 bytes (linux/io_uring.h). One completion.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct IoUringCqe
{
    /// <summary>What the request carried.</summary>
    [FieldOffset(0)]
    public ulong UserData;

    /// <summary>0 or more, or a negative errno.</summary>
    [FieldOffset(8)]
    public int Result;

    /// <summary>IORING_CQE_F_* bits.</summary>
    [FieldOffset(12)]
    public uint Flags;
}
