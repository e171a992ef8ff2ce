using System.Runtime.InteropServices;

namespace NbdFuse.Native.Block;

/// <summary>struct loop_config, 304 bytes (linux/loop.h). Argument of LOOP_CONFIGURE (Linux 5.8).</summary>
[StructLayout(LayoutKind.Explicit, Size = 304)]
public struct LoopConfig
{
    /// <summary>The backing file.</summary>
    [FieldOffset(0)]
    public uint Fd;

    /// <summary>Logical block size in bytes; 0 for 512.</summary>
    [FieldOffset(4)]
    public uint BlockSize;

    /// <summary>Settings.</summary>
    [FieldOffset(8)]
    public LoopInfo Info;

    /// <summary>Zeroes.</summary>
    [FieldOffset(240)]
    public LoopConfigReserved Reserved;
}
