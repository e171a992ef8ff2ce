using System.Runtime.InteropServices;

namespace NbdFuse.Native.Ublk;

/// <summary>struct ublk_param_discard, 20 bytes (linux/ublk_cmd.h).</summary>
[StructLayout(LayoutKind.Explicit, Size = 20)]
public struct UblkDiscardParams
{
    /// <summary>Bytes.</summary>
    [FieldOffset(0)]
    public uint Alignment;

    /// <summary>Bytes, more than 0.</summary>
    [FieldOffset(4)]
    public uint Granularity;

    /// <summary>Longest discard in sectors of 512 bytes; 0: none.</summary>
    [FieldOffset(8)]
    public uint MaximumDiscardSectors;

    /// <summary>Longest write of zeroes in sectors of 512 bytes; 0: none.</summary>
    [FieldOffset(12)]
    public uint MaximumWriteZeroesSectors;

    /// <summary>1 when there is discard.</summary>
    [FieldOffset(16)]
    public ushort MaximumSegments;
}
