using System.Runtime.InteropServices;

namespace NbdFuse.Native.Block;

/// <summary>struct blkpg_partition, 152 bytes (linux/blkpg.h). A partition.</summary>
[StructLayout(LayoutKind.Explicit, Size = 152)]
public struct BlkpgPartition
{
    /// <summary>Byte offset.</summary>
    [FieldOffset(0)]
    public long Start;

    /// <summary>Bytes.</summary>
    [FieldOffset(8)]
    public long Length;

    /// <summary>From 1.</summary>
    [FieldOffset(16)]
    public int Number;

    /// <summary>Unused.</summary>
    [FieldOffset(20)]
    public LoopName DeviceName;

    /// <summary>Unused.</summary>
    [FieldOffset(84)]
    public LoopName VolumeName;
}
