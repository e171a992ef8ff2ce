using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>struct statx of linux/stat.h, 256 bytes; only the fields that are used.</summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
internal struct StatxBuffer
{
    [FieldOffset(0)]
    internal uint Mask;

    [FieldOffset(4)]
    internal uint BlockSize;

    [FieldOffset(16)]
    internal uint Links;

    [FieldOffset(20)]
    internal uint Uid;

    [FieldOffset(24)]
    internal uint Gid;

    [FieldOffset(28)]
    internal ushort Mode;

    [FieldOffset(32)]
    internal ulong Inode;

    [FieldOffset(40)]
    internal ulong Size;

    [FieldOffset(48)]
    internal ulong Blocks;

    [FieldOffset(112)]
    internal long ModifiedSeconds;

    [FieldOffset(120)]
    internal uint ModifiedNanoseconds;

    [FieldOffset(128)]
    internal uint RDeviceMajor;

    [FieldOffset(132)]
    internal uint RDeviceMinor;

    [FieldOffset(136)]
    internal uint DeviceMajor;

    [FieldOffset(140)]
    internal uint DeviceMinor;
}
