namespace NbdFuse.TestKit;

/// <summary>The servers that one suite runs over.</summary>
public enum RealServerKind
{
    /// <summary>nbdkit with its file plugin.</summary>
    Nbdkit,

    /// <summary>nbd-server, the reference implementation.</summary>
    NbdServer,

    /// <summary>qemu-nbd.</summary>
    QemuNbd,

    /// <summary>qemu-storage-daemon.</summary>
    QemuStorageDaemon,

    /// <summary>NbdFuse.Server in this process.</summary>
    Embedded,
}
