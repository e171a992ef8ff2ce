namespace NbdFuse.Native.IoUring;

/// <summary>IORING_SQ_* (linux/io_uring.h): what the kernel tells in the submission queue.</summary>
[Flags]
public enum IoUringSqFlags : uint
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Completions wait for room.</summary>
    CqOverflow = 2,

    /// <summary>Completions wait to be posted: enter the kernel.</summary>
    TaskRun = 4,
}
