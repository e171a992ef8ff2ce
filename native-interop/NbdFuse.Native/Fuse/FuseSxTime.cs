using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_sx_time, 16 bytes (linux/fuse.h). Time stamp of STATX.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct FuseSxTime
{
    /// <summary>Seconds of the Unix epoch.</summary>
    [FieldOffset(0)]
    public long Seconds;

    /// <summary>ns, below 10^9.</summary>
    [FieldOffset(8)]
    public uint Nanoseconds;

    /// <summary>Unused.</summary>
    [FieldOffset(12)]
    public int Reserved;
}
