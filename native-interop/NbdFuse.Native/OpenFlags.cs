namespace NbdFuse.Native;

/// <summary>
/// Flags of open(2). Four of them have other values on arm64; <see cref="Posix.ToNativeOpenFlags"/> and
/// <see cref="Posix.FromNativeOpenFlags"/> translate, so that the rest of the code sees one set.
/// </summary>
[Flags]
public enum OpenFlags
{
    /// <summary>Read only (the absence of the two below).</summary>
    ReadOnly = 0,

    /// <summary>O_WRONLY.</summary>
    WriteOnly = 1,

    /// <summary>O_RDWR.</summary>
    ReadWrite = 2,

    /// <summary>The two bits that hold the access mode (O_ACCMODE).</summary>
    AccessMode = 3,

    /// <summary>O_CREAT.</summary>
    Create = 0x40,

    /// <summary>O_EXCL.</summary>
    Exclusive = 0x80,

    /// <summary>O_NOCTTY.</summary>
    NoControllingTerminal = 0x100,

    /// <summary>O_TRUNC.</summary>
    Truncate = 0x200,

    /// <summary>O_APPEND.</summary>
    Append = 0x400,

    /// <summary>O_NONBLOCK.</summary>
    NonBlocking = 0x800,

    /// <summary>O_DSYNC.</summary>
    DataSync = 0x1000,

    /// <summary>O_DIRECT (0x4000 on x86-64, 0x10000 on arm64).</summary>
    Direct = 0x4000,

    /// <summary>O_LARGEFILE as the kernel shows it to FUSE (0x8000 on x86-64, 0x20000 on arm64).</summary>
    LargeFile = 0x8000,

    /// <summary>O_DIRECTORY (0x10000 on x86-64, 0x4000 on arm64).</summary>
    Directory = 0x10000,

    /// <summary>O_NOFOLLOW (0x20000 on x86-64, 0x8000 on arm64).</summary>
    NoFollow = 0x20000,

    /// <summary>O_NOATIME.</summary>
    NoAccessTime = 0x40000,

    /// <summary>O_CLOEXEC.</summary>
    CloseOnExec = 0x80000,

    /// <summary>O_SYNC (includes <see cref="DataSync"/>).</summary>
    Sync = 0x101000,

    /// <summary>O_PATH.</summary>
    Path = 0x200000,
}
