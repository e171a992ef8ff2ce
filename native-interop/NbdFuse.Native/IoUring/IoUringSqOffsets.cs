using System.Runtime.InteropServices;

namespace NbdFuse.Native.IoUring;

/// <summary>struct io_sqring_offsets, 40 bytes (linux/io_uring.h). Byte offsets in the ring mapping.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
public struct IoUringSqOffsets
{
    /// <summary>First entry not taken by the kernel.</summary>
    [FieldOffset(0)]
    public uint Head;

    /// <summary>First entry not filled by us.</summary>
    [FieldOffset(4)]
    public uint Tail;

    /// <summary>Entries - 1.</summary>
    [FieldOffset(8)]
    public uint RingMask;

    /// <summary>Number of entries.</summary>
    [FieldOffset(12)]
    public uint RingEntries;

    /// <summary>Word of <see cref="IoUringSqFlags"/>.</summary>
    [FieldOffset(16)]
    public uint Flags;

    /// <summary>Entries with a wrong index.</summary>
    [FieldOffset(20)]
    public uint Dropped;

    /// <summary>Indices of entries, in the order of submission.</summary>
    [FieldOffset(24)]
    public uint Array;
}
