namespace NbdFuse.Native.IoUring;

/// <summary>IORING_SETUP_* (linux/io_uring.h).</summary>
[Flags]
public enum IoUringSetupFlags : uint
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>The size of the completion queue is given.</summary>
    CqSize = 8,

    /// <summary>Sizes that are too large become smaller.</summary>
    Clamp = 16,

    /// <summary>An entry that is refused does not stop those behind it (5.18).</summary>
    SubmitAll = 0x80,

    /// <summary>No interrupt to have completions posted: they are at the next entry to the kernel (5.19).</summary>
    CoopTaskRun = 0x100,

    /// <summary><see cref="IoUringSqFlags.TaskRun"/> tells that completions wait to be posted (5.19).</summary>
    TaskRunFlag = 0x200,

    /// <summary>Entries have 128 bytes (5.19).</summary>
    Sqe128 = 0x400,

    /// <summary>Only the thread that made the ring submits (6.0).</summary>
    SingleIssuer = 0x1000,

    /// <summary>Completions are posted inside io_uring_enter only; needs <see cref="SingleIssuer"/> (6.1).</summary>
    DeferTaskRun = 0x2000,
}
