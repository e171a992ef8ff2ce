using System.Runtime.InteropServices;

namespace NbdFuse.Native.IoUring;

/// <summary>struct io_uring_params, 120 bytes (linux/io_uring.h). In and out of io_uring_setup.</summary>
[StructLayout(LayoutKind.Explicit, Size = 120)]
public struct IoUringParams
{
    /// <summary>Entries of the submission queue, a power of two.</summary>
    [FieldOffset(0)]
    public uint SqEntries;

    /// <summary>Entries of the completion queue; twice as many unless asked for.</summary>
    [FieldOffset(4)]
    public uint CqEntries;

    /// <summary>What is asked for.</summary>
    [FieldOffset(8)]
    public IoUringSetupFlags Flags;

    /// <summary>Unused here.</summary>
    [FieldOffset(12)]
    public uint SqThreadCpu;

    /// <summary>Unused here.</summary>
    [FieldOffset(16)]
    public uint SqThreadIdle;

    /// <summary>What this kernel has.</summary>
    [FieldOffset(20)]
    public IoUringFeatures Features;

    /// <summary>Unused here.</summary>
    [FieldOffset(24)]
    public uint WqFd;

    /// <summary>Where the words of the submission queue are.</summary>
    [FieldOffset(40)]
    public IoUringSqOffsets SqOffsets;

    /// <summary>Where the words of the completion queue are.</summary>
    [FieldOffset(80)]
    public IoUringCqOffsets CqOffsets;
}
