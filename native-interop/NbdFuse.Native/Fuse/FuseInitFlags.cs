namespace NbdFuse.Native.Fuse;

/// <summary>Capabilities negotiated by INIT: <c>flags | flags2 &lt;&lt; 32</c> (linux/fuse.h).</summary>
[Flags]
public enum FuseInitFlags : ulong
{
    /// <summary>No capability.</summary>
    None = 0,

    /// <summary>Reads of a file may be sent in parallel.</summary>
    AsyncRead = 1ul << 0,

    /// <summary>Locks are the server's.</summary>
    PosixLocks = 1ul << 1,

    /// <summary>Handles are passed with attribute requests.</summary>
    FileOps = 1ul << 2,

    /// <summary>OPEN carries O_TRUNC.</summary>
    AtomicTruncate = 1ul << 3,

    /// <summary>Lookup of . and .. for NFS.</summary>
    ExportSupport = 1ul << 4,

    /// <summary>WRITE may exceed one page.</summary>
    BigWrites = 1ul << 5,

    /// <summary>The umask is the server's.</summary>
    DontMask = 1ul << 6,

    /// <summary>The device takes splice.</summary>
    SpliceWrite = 1ul << 7,

    /// <summary>The device moves spliced pages.</summary>
    SpliceMove = 1ul << 8,

    /// <summary>The device gives by splice.</summary>
    SpliceRead = 1ul << 9,

    /// <summary>flock is the server's.</summary>
    FlockLocks = 1ul << 10,

    /// <summary>ioctl on directories.</summary>
    HasIoctlDir = 1ul << 11,

    /// <summary>Drop the page cache when the modification time changes.</summary>
    AutoInvalidateData = 1ul << 12,

    /// <summary>READDIRPLUS is supported.</summary>
    DoReaddirplus = 1ul << 13,

    /// <summary>READDIRPLUS only when useful.</summary>
    ReaddirplusAuto = 1ul << 14,

    /// <summary>Direct I/O is sent in parallel.</summary>
    AsyncDirectIo = 1ul << 15,

    /// <summary>Writes are cached by the kernel.</summary>
    WritebackCache = 1ul << 16,

    /// <summary>OPEN may be refused for good.</summary>
    NoOpenSupport = 1ul << 17,

    /// <summary>Lookups of a directory in parallel.</summary>
    ParallelDirectoryOps = 1ul << 18,

    /// <summary>The server clears set-user-id bits.</summary>
    HandleKillpriv = 1ul << 19,

    /// <summary>Access control lists.</summary>
    PosixAcl = 1ul << 20,

    /// <summary>ECONNABORTED from the device after an abort.</summary>
    AbortError = 1ul << 21,

    /// <summary>The reply's MaxPages is valid.</summary>
    MaxPages = 1ul << 22,

    /// <summary>Links are cached.</summary>
    CacheSymlinks = 1ul << 23,

    /// <summary>OPENDIR may be refused for good.</summary>
    NoOpendirSupport = 1ul << 24,

    /// <summary>Only notifications drop the page cache.</summary>
    ExplicitInvalidateData = 1ul << 25,

    /// <summary>The reply's MapAlignment is valid.</summary>
    MapAlignment = 1ul << 26,

    /// <summary>Automatic sub-mounts.</summary>
    Submounts = 1ul << 27,

    /// <summary>As HandleKillpriv, and no attribute lookups before writes.</summary>
    HandleKillprivV2 = 1ul << 28,

    /// <summary>SETXATTR has flags.</summary>
    SetxattrExtended = 1ul << 29,

    /// <summary>The second half of the flags is valid.</summary>
    InitExtended = 1ul << 30,

    /// <summary>Security context with creation.</summary>
    SecurityContext = 1ul << 32,

    /// <summary>DAX per node.</summary>
    HasInodeDax = 1ul << 33,

    /// <summary>Supplementary group with creation.</summary>
    CreateSupplementaryGroup = 1ul << 34,

    /// <summary>Notifications may only expire entries.</summary>
    HasExpireOnly = 1ul << 35,

    /// <summary>mmap of files opened for direct I/O.</summary>
    DirectIoAllowMmap = 1ul << 36,

    /// <summary>I/O directly to a backing file.</summary>
    Passthrough = 1ul << 37,

    /// <summary>Handles are not exportable.</summary>
    NoExportSupport = 1ul << 38,

    /// <summary>Requests may be sent again by notification.</summary>
    HasResend = 1ul << 39,

    /// <summary>Mounts with mapped ids.</summary>
    AllowIdmap = 1ul << 40,

    /// <summary>Requests by io_uring.</summary>
    OverIoUring = 1ul << 41,

    /// <summary>The reply's RequestTimeout is valid.</summary>
    RequestTimeout = 1ul << 42,
}
