using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_ioctl_in, 32 bytes (linux/fuse.h). IOCTL request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
public struct FuseIoctlIn
{
    /// <summary>File handle.</summary>
    [FieldOffset(0)]
    public ulong Handle;

    /// <summary>FUSE_IOCTL_ bits.</summary>
    [FieldOffset(8)]
    public uint Flags;

    /// <summary>Request number.</summary>
    [FieldOffset(12)]
    public uint Command;

    /// <summary>The caller's argument.</summary>
    [FieldOffset(16)]
    public ulong Argument;

    /// <summary>Bytes that follow.</summary>
    [FieldOffset(24)]
    public uint InSize;

    /// <summary>Bytes that the reply may carry.</summary>
    [FieldOffset(28)]
    public uint OutSize;
}
