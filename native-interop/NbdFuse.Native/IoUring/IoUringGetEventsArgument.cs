using System.Runtime.InteropServices;

namespace NbdFuse.Native.IoUring;

/// <summary>struct io_uring_getevents_arg, 24 bytes (linux/io_uring.h). How long io_uring_enter waits.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
public struct IoUringGetEventsArgument
{
    /// <summary>Address of a signal mask; 0 for none.</summary>
    [FieldOffset(0)]
    public ulong SignalMask;

    /// <summary>Its bytes.</summary>
    [FieldOffset(8)]
    public uint SignalMaskSize;

    /// <summary>Address of a <see cref="KernelTimespec"/>; 0 waits without end.</summary>
    [FieldOffset(16)]
    public ulong Timeout;
}
