namespace NbdFuse.Native.IoUring;

/// <summary>IORING_REGISTER_* (linux/io_uring.h): those that are used.</summary>
public enum IoUringRegisterOperation
{
    /// <summary>Signal an eventfd for each completion.</summary>
    EventFd = 4,
}
