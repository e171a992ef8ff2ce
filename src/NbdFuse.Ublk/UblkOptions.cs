namespace NbdFuse.Ublk;

/// <summary>How a ublk device is made. Immutable.</summary>
public sealed record UblkOptions
{
    /// <summary>Number of the device, /dev/ublkbN; -1 for the next free one.</summary>
    public int DeviceId { get; init; } = -1;

    /// <summary>Logical block in bytes: 512, 1024, 2048 or 4096. What the export does not take is read, changed and written below.</summary>
    public int LogicalBlock { get; init; } = 512;

    /// <summary>Writes fail, though the export would take them.</summary>
    public bool IsReadOnly { get; init; }

    /// <summary>The device outlives this process, and another one can go on with it (USER_RECOVERY, RECOVERY_REISSUE).</summary>
    public bool Recovery { get; init; } = true;

    /// <summary>Requests that the kernel hands out at once, 1 to 4096; 0 for as many as the memory allows, at most 128.</summary>
    public int Depth { get; init; }

    /// <summary>
    /// Memory for payloads in bytes, at least 128 KiB; all of it is taken at the start, so that none is needed while memory is
    /// short. Every request that the kernel may hand out has its own buffer in it.
    /// </summary>
    public int BufferBytes { get; init; } = 16 << 20;

    /// <summary>Whether the loop may poll instead of sleep while few requests are in flight: latency for processor time.</summary>
    public bool Spin { get; init; } = true;

    /// <summary>Where device nodes are.</summary>
    public string DeviceDirectory { get; init; } = "/dev";

    /// <summary>Milliseconds that a recovery waits for the old process to be gone.</summary>
    public int RecoveryTimeoutMs { get; init; } = 10_000;
}
