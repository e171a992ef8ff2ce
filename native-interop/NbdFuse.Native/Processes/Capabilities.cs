namespace NbdFuse.Native;

/// <summary>Sets of capabilities (capabilities(7)); the bit of each is its number.</summary>
[Flags]
public enum Capabilities : ulong
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Opening and changing what the permissions of files forbid (CAP_DAC_OVERRIDE).</summary>
    DacOverride = 1UL << 1,

    /// <summary>Reading, and passing through directories, whatever their permissions (CAP_DAC_READ_SEARCH).</summary>
    DacReadSearch = 1UL << 2,

    /// <summary>Locking memory beyond the limit (CAP_IPC_LOCK).</summary>
    IpcLock = 1UL << 14,

    /// <summary>Looking into other processes (CAP_SYS_PTRACE).</summary>
    SysPtrace = 1UL << 19,

    /// <summary>Mounting, and setting up block devices (CAP_SYS_ADMIN).</summary>
    SysAdmin = 1UL << 21,

    /// <summary>Going beyond limits of resources, and PR_SET_IO_FLUSHER (CAP_SYS_RESOURCE).</summary>
    SysResource = 1UL << 24,

    /// <summary>Making nodes of devices (CAP_MKNOD).</summary>
    Mknod = 1UL << 27,
}
