using System.Runtime.InteropServices;

namespace NbdFuse.Native.Ublk;

/// <summary>struct ublk_param_basic, 32 bytes (linux/ublk_cmd.h).</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
public struct UblkBasicParams
{
    /// <summary>Attributes.</summary>
    [FieldOffset(0)]
    public UblkAttributes Attributes;

    /// <summary>Binary logarithm of the logical block, 9 to 12.</summary>
    [FieldOffset(4)]
    public byte LogicalBlockShift;

    /// <summary>Binary logarithm of the physical block.</summary>
    [FieldOffset(5)]
    public byte PhysicalBlockShift;

    /// <summary>Binary logarithm of the optimal I/O size.</summary>
    [FieldOffset(6)]
    public byte OptimalIoShift;

    /// <summary>Binary logarithm of the minimum I/O size.</summary>
    [FieldOffset(7)]
    public byte MinimumIoShift;

    /// <summary>Longest payload in sectors of 512 bytes.</summary>
    [FieldOffset(8)]
    public uint MaximumSectors;

    /// <summary>No request crosses a multiple of it; 0 for none.</summary>
    [FieldOffset(12)]
    public uint ChunkSectors;

    /// <summary>Size in sectors of 512 bytes.</summary>
    [FieldOffset(16)]
    public ulong DeviceSectors;

    /// <summary>0.</summary>
    [FieldOffset(24)]
    public ulong VirtualBoundaryMask;
}
