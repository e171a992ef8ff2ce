namespace NbdFuse.Native.IoUring;

/// <summary>IORING_OP_* (linux/io_uring.h): those that are used.</summary>
public enum IoUringOpcode : byte
{
    /// <summary>Nothing.</summary>
    Nop = 0,

    /// <summary>Wait for events of a file.</summary>
    PollAdd = 6,

    /// <summary>Cancel a request by its user data.</summary>
    AsyncCancel = 14,

    /// <summary>Read from a file.</summary>
    Read = 22,

    /// <summary>A command of the file's own driver (URING_CMD).</summary>
    Command = 46,
}
