using System.Runtime.InteropServices;

namespace NbdFuse.Native.Ublk;

/// <summary>struct ublk_param_devt, 16 bytes (linux/ublk_cmd.h). Written by the kernel.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct UblkDeviceNumbers
{
    /// <summary>Of /dev/ublkcN.</summary>
    [FieldOffset(0)]
    public uint CharacterMajor;

    /// <summary>Of /dev/ublkcN.</summary>
    [FieldOffset(4)]
    public uint CharacterMinor;

    /// <summary>Of /dev/ublkbN; 0 before it is started.</summary>
    [FieldOffset(8)]
    public uint DiskMajor;

    /// <summary>Of /dev/ublkbN.</summary>
    [FieldOffset(12)]
    public uint DiskMinor;
}
