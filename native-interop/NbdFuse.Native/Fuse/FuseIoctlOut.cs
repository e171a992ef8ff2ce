using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_ioctl_out, 16 bytes (linux/fuse.h). IOCTL reply.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct FuseIoctlOut
{
    /// <summary>The call's result.</summary>
    [FieldOffset(0)]
    public int Result;

    /// <summary>FUSE_IOCTL_ bits.</summary>
    [FieldOffset(4)]
    public uint Flags;

    /// <summary>Vectors to fetch.</summary>
    [FieldOffset(8)]
    public uint InVectors;

    /// <summary>Vectors to fill.</summary>
    [FieldOffset(12)]
    public uint OutVectors;
}
