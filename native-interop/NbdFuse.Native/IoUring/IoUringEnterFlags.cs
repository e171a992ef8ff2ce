namespace NbdFuse.Native.IoUring;

/// <summary>IORING_ENTER_* (linux/io_uring.h).</summary>
[Flags]
public enum IoUringEnterFlags : uint
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Wait for completions, and post those that wait to be posted.</summary>
    GetEvents = 1,

    /// <summary>The argument is a <see cref="IoUringGetEventsArgument"/>.</summary>
    ExtendedArgument = 8,
}
