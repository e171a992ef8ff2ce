using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_poll_in, 24 bytes (linux/fuse.h). POLL request.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
public struct FusePollIn
{
    /// <summary>File handle.</summary>
    [FieldOffset(0)]
    public ulong Handle;

    /// <summary>For the notification.</summary>
    [FieldOffset(8)]
    public ulong PollHandle;

    /// <summary>1: notify later.</summary>
    [FieldOffset(16)]
    public uint Flags;

    /// <summary>Events asked for.</summary>
    [FieldOffset(20)]
    public uint Events;
}
