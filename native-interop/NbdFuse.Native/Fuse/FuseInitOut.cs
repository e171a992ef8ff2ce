using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_init_out, 64 bytes (linux/fuse.h). INIT reply.</summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
public struct FuseInitOut
{
    /// <summary>Major version, 7.</summary>
    [FieldOffset(0)]
    public uint Major;

    /// <summary>Minor version in use.</summary>
    [FieldOffset(4)]
    public uint Minor;

    /// <summary>Bytes; can only shrink the kernel's value.</summary>
    [FieldOffset(8)]
    public uint MaxReadahead;

    /// <summary>Low half of the accepted FuseInitFlags.</summary>
    [FieldOffset(12)]
    public uint Flags;

    /// <summary>Background requests at once; 0 keeps the kernel's 12.</summary>
    [FieldOffset(16)]
    public ushort MaxBackground;

    /// <summary>Background requests from which the device counts as congested; 0 keeps 9.</summary>
    [FieldOffset(18)]
    public ushort CongestionThreshold;

    /// <summary>Most bytes of one WRITE, at least 4096.</summary>
    [FieldOffset(20)]
    public uint MaxWrite;

    /// <summary>Resolution of time stamps in ns, 1 to 10^9.</summary>
    [FieldOffset(24)]
    public uint TimeGranularity;

    /// <summary>Most pages of one request, valid with FuseInitFlags.MaxPages.</summary>
    [FieldOffset(28)]
    public ushort MaxPages;

    /// <summary>Alignment of DAX mappings, log2.</summary>
    [FieldOffset(30)]
    public ushort MapAlignment;

    /// <summary>High half of the flags, valid with FuseInitFlags.InitExtended.</summary>
    [FieldOffset(32)]
    public uint Flags2;

    /// <summary>Stacking limit for passthrough.</summary>
    [FieldOffset(36)]
    public uint MaxStackDepth;

    /// <summary>Seconds after which the kernel aborts; 0 never (7.43).</summary>
    [FieldOffset(40)]
    public ushort RequestTimeout;

    /// <summary>Unused.</summary>
    [FieldOffset(42)]
    public FuseReservedShort11 Unused;
}
