using System.Runtime.InteropServices;

namespace NbdFuse.Native.IoUring;

/// <summary>struct __kernel_timespec, 16 bytes (linux/time_types.h).</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct KernelTimespec
{
    /// <summary>Seconds.</summary>
    [FieldOffset(0)]
    public long Seconds;

    /// <summary>Nanoseconds, below 1 000 000 000.</summary>
    [FieldOffset(8)]
    public long Nanoseconds;
}
