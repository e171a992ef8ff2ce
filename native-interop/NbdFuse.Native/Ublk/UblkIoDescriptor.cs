using System.Runtime.InteropServices;

namespace NbdFuse.Native.Ublk;

/// <summary>struct ublksrv_io_desc, 24 bytes (linux/ublk_cmd.h). One request, in memory that the kernel shares.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
public struct UblkIoDescriptor
{
    /// <summary><see cref="UblkIoOperation"/> in the lowest byte, <see cref="UblkIoFlags"/> above.</summary>
    [FieldOffset(0)]
    public uint OperationAndFlags;

    /// <summary>Sectors of 512 bytes.</summary>
    [FieldOffset(4)]
    public uint Sectors;

    /// <summary>First sector of 512 bytes.</summary>
    [FieldOffset(8)]
    public ulong StartSector;

    /// <summary>Buffer that was given with the fetch.</summary>
    [FieldOffset(16)]
    public ulong Address;
}
