using System.Runtime.InteropServices;

namespace NbdFuse.Native.IoUring;

/// <summary>struct io_cqring_offsets, 40 bytes (linux/io_uring.h). Byte offsets in the ring mapping.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
public struct IoUringCqOffsets
{
    /// <summary>First completion not taken by us.</summary>
    [FieldOffset(0)]
    public uint Head;

    /// <summary>First completion not written by the kernel.</summary>
    [FieldOffset(4)]
    public uint Tail;

    /// <summary>Entries - 1.</summary>
    [FieldOffset(8)]
    public uint RingMask;

    /// <summary>Number of entries.</summary>
    [FieldOffset(12)]
    public uint RingEntries;

    /// <summary>Completions that found no room.</summary>
    [FieldOffset(16)]
    public uint Overflow;

    /// <summary>The completions.</summary>
    [FieldOffset(20)]
    public uint Cqes;

    /// <summary>Word of flags that we set.</summary>
    [FieldOffset(24)]
    public uint Flags;
}
