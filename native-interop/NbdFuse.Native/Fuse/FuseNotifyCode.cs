namespace NbdFuse.Native.Fuse;

/// <summary>Notifications to the kernel: the error field of a FuseOutHeader whose unique is 0 (enum fuse_notify_code).</summary>
public enum FuseNotifyCode : int
{
    /// <summary>A polled handle is ready.</summary>
    Poll = 1,

    /// <summary>Drop attributes or data.</summary>
    InvalidateInode = 2,

    /// <summary>Drop a name.</summary>
    InvalidateEntry = 3,

    /// <summary>Fill the page cache.</summary>
    Store = 4,

    /// <summary>Ask for page cache content.</summary>
    Retrieve = 5,

    /// <summary>A name was removed.</summary>
    Delete = 6,

    /// <summary>Send all delivered requests again (7.40).</summary>
    Resend = 7,

    /// <summary>Expire all names (7.44).</summary>
    IncrementEpoch = 8,

    /// <summary>Drop unused nodes (7.45).</summary>
    Prune = 9,
}
