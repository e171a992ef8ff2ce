namespace NbdFuse.Fuse;

/// <summary>Why a session ended.</summary>
public enum FuseEndReason
{
    /// <summary>The file system was unmounted and its last user is gone.</summary>
    Unmounted = 0,

    /// <summary>The connection was aborted, by its abort file or by the kernel.</summary>
    Aborted = 1,

    /// <summary>Asked for by <see cref="FuseSession.BeginDrain"/>: everything that had been read is answered.</summary>
    Drained = 2,

    /// <summary>Asked for by <see cref="FuseSession.Abort"/>.</summary>
    Stopped = 3,

    /// <summary>The kernel speaks a FUSE protocol that is too old.</summary>
    Unsupported = 4,

    /// <summary>Reading the device failed for another reason: see the errno.</summary>
    Failed = 5,
}
