namespace NbdFuse.Native.Ublk;

/// <summary>UBLK_F_* (linux/ublk_cmd.h).</summary>
[Flags]
public enum UblkFeatures : ulong
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Registered buffers.</summary>
    ZeroCopy = 1,

    /// <summary>Always set by the kernel.</summary>
    CompletionInTask = 2,

    /// <summary>Buffers are given late.</summary>
    NeedGetData = 4,

    /// <summary>The device outlives its server.</summary>
    UserRecovery = 8,

    /// <summary>A new server is given again what the old one left unanswered.</summary>
    RecoveryReissue = 0x10,

    /// <summary>Made without CAP_SYS_ADMIN.</summary>
    Unprivileged = 0x20,

    /// <summary>Operations are encoded as ioctl numbers.</summary>
    IoctlEncoding = 0x40,

    /// <summary>Payload moves by pread and pwrite.</summary>
    UserCopy = 0x80,

    /// <summary>Zoned storage.</summary>
    Zoned = 0x100,

    /// <summary>The size of a disk that lives can be changed.</summary>
    UpdateSize = 0x400,
}
