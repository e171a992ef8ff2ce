namespace NbdFuse.Native.IoUring;

/// <summary>IORING_FEAT_* (linux/io_uring.h).</summary>
[Flags]
public enum IoUringFeatures : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Both queues lie in one mapping (5.4).</summary>
    SingleMap = 1,

    /// <summary>Completions that find no room are kept (5.5).</summary>
    NoDrop = 2,

    /// <summary>io_uring_enter takes a timeout (5.11).</summary>
    ExtendedArgument = 0x100,
}
