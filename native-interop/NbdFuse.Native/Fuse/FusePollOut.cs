using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_poll_out, 8 bytes (linux/fuse.h). POLL reply.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
public struct FusePollOut
{
    /// <summary>Events that hold.</summary>
    [FieldOffset(0)]
    public uint Events;

    /// <summary>Unused.</summary>
    [FieldOffset(4)]
    public uint Padding;
}
