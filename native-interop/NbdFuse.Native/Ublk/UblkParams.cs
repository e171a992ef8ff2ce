using System.Runtime.InteropServices;

namespace NbdFuse.Native.Ublk;

/// <summary>struct ublk_params as of Linux 6.12, 112 bytes (linux/ublk_cmd.h). Older kernels take the part that they know.</summary>
[StructLayout(LayoutKind.Explicit, Size = 112)]
public struct UblkParams
{
    /// <summary>Bytes, set by the caller.</summary>
    [FieldOffset(0)]
    public uint Length;

    /// <summary>Parts that are valid.</summary>
    [FieldOffset(4)]
    public UblkParamTypes Types;

    /// <summary>Always valid.</summary>
    [FieldOffset(8)]
    public UblkBasicParams Basic;

    /// <summary>Discard and write zeroes.</summary>
    [FieldOffset(40)]
    public UblkDiscardParams Discard;

    /// <summary>Written by the kernel (6.3).</summary>
    [FieldOffset(60)]
    public UblkDeviceNumbers DeviceNumbers;
}
