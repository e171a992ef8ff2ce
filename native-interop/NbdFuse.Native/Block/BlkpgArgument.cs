using System.Runtime.InteropServices;

namespace NbdFuse.Native.Block;

/// <summary>struct blkpg_ioctl_arg, 24 bytes (linux/blkpg.h). Argument of BLKPG.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
public struct BlkpgArgument
{
    /// <summary>One of the Partition constants of BlockConstants.</summary>
    [FieldOffset(0)]
    public int Operation;

    /// <summary>0.</summary>
    [FieldOffset(4)]
    public int Flags;

    /// <summary>Bytes of the BlkpgPartition.</summary>
    [FieldOffset(8)]
    public int DataLength;

    /// <summary>Address of a BlkpgPartition in native or pinned memory.</summary>
    [FieldOffset(16)]
    public nint Data;
}
