using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_init_in, 64 bytes (linux/fuse.h). INIT request; kernels before 7.36 send only the first 16 bytes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
public struct FuseInitIn
{
    /// <summary>Major version of the protocol.</summary>
    [FieldOffset(0)]
    public uint Major;

    /// <summary>Minor version.</summary>
    [FieldOffset(4)]
    public uint Minor;

    /// <summary>Bytes.</summary>
    [FieldOffset(8)]
    public uint MaxReadahead;

    /// <summary>Low half of FuseInitFlags.</summary>
    [FieldOffset(12)]
    public uint Flags;

    /// <summary>High half, valid with FuseInitFlags.InitExtended.</summary>
    [FieldOffset(16)]
    public uint Flags2;

    /// <summary>Unused.</summary>
    [FieldOffset(20)]
    public FuseReserved11 Unused;
}
