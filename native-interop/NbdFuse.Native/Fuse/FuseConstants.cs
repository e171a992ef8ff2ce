namespace NbdFuse.Native.Fuse;

/// <summary>Numbers of linux/fuse.h that are neither operations nor flags.</summary>
public static class FuseConstants
{
    /// <summary>Major version of the protocol.</summary>
    public const uint KernelVersion = 7;

    /// <summary>Newest minor version whose structures are here.</summary>
    public const uint KernelMinorVersion = 45;

    /// <summary>The root's node.</summary>
    public const ulong RootId = 1;

    /// <summary>Smallest buffer in bytes that the kernel accepts for a read of the device (FUSE_MIN_READ_BUFFER).</summary>
    public const int MinimumReadBuffer = 8192;

    /// <summary>Bytes before the data of a WRITE request: FuseInHeader and FuseWriteIn.</summary>
    public const int WriteHeaderSize = 80;

    /// <summary>Bit of FuseInHeader.Unique that marks an interrupt (FUSE_INT_REQ_BIT).</summary>
    public const ulong UniqueInterrupt = 1;

    /// <summary>Bit of FuseInHeader.Unique that marks a request sent again (FUSE_UNIQUE_RESEND).</summary>
    public const ulong UniqueResend = 1ul << 63;

    /// <summary>ioctl: attach a second device descriptor to a connection; argument is the first, 32 bits (FUSE_DEV_IOC_CLONE).</summary>
    public const uint DeviceClone = 0x8004E500;

    /// <summary>ioctl: answer INIT synchronously with mount (FUSE_DEV_IOC_SYNC_INIT, 7.45).</summary>
    public const uint DeviceSyncInit = 0xE503;

    /// <summary>FuseGetattrIn.Flags: the handle is valid (FUSE_GETATTR_FH).</summary>
    public const uint GetattrHandle = 1;

    /// <summary>FuseReleaseIn.ReleaseFlags: flush (FUSE_RELEASE_FLUSH).</summary>
    public const uint ReleaseFlush = 1;

    /// <summary>FuseWriteIn.WriteFlags: from the page cache, the caller is a guess (FUSE_WRITE_CACHE).</summary>
    public const uint WriteCache = 1;

    /// <summary>FuseFsyncIn.FsyncFlags: data only (FUSE_FSYNC_FDATASYNC).</summary>
    public const uint FsyncDataOnly = 1;

    /// <summary>File system magic of statfs(2) (FUSE_SUPER_MAGIC, linux/magic.h).</summary>
    public const uint SuperMagic = 0x65735546;
}
