namespace NbdFuse.Attach;

/// <summary>An attached device as status --json shows it; docs/ATTACH.md describes the keys for users.</summary>
/// <param name="status">What its daemon, or the kernel, says.</param>
public sealed class StatusDevice(AttachStatus status)
{
    /// <summary>Path of the device; empty before there is one.</summary>
    public string Device => status.Attached.Device;

    /// <summary>fuse, ublk or nbd.</summary>
    public string Driver => status.Attached.Driver;

    /// <summary>See <see cref="AttachStatus.State"/>.</summary>
    public string State => status.State;

    /// <summary>Why it is not online; left out otherwise.</summary>
    public string? Reason => status.Reason;

    /// <summary>Name of the export.</summary>
    public string Export => status.Attached.Export;

    /// <summary>Where the server is.</summary>
    public string Server => status.Attached.Server;

    /// <summary>Size in bytes.</summary>
    public long Size => status.Attached.Size;

    /// <summary>Bytes at the end of the export that cannot be reached.</summary>
    public long UnreachableTail => status.Attached.UnreachableTail;

    /// <summary>Logical block size in bytes.</summary>
    public int BlockSize => status.Attached.BlockSize;

    /// <summary>Writes are refused.</summary>
    public bool ReadOnly => status.Attached.ReadOnly;

    /// <summary>Paths of the partitions' nodes.</summary>
    public IReadOnlyList<string> Partitions => status.Attached.Partitions ?? [];

    /// <summary>Connections to the server.</summary>
    public int Connections => status.Attached.Connections;

    /// <summary>Process id of the daemon; 0 when the device needs none.</summary>
    public int Pid => status.Attached.Pid;

    /// <summary>Requests in flight.</summary>
    public int InFlight => status.InFlight;

    /// <summary>What the device promises; left out when nobody could be asked.</summary>
    public IReadOnlyList<Guarantee>? Guarantees => status.Guarantees;

    /// <summary>Losses of the server, and the write log; left out when nobody could be asked, or the kernel connects.</summary>
    public RecoveryStatus? Recovery => status.Recovery;

    /// <summary>Counters per kind of request; left out when nobody could be asked.</summary>
    public IReadOnlyList<OperationStatus>? Operations => status.Operations;

    /// <summary>The queue; left out when nobody could be asked, or the kernel serves the device.</summary>
    public QueueStatus? Queue => status.Activity?.Queue;

    /// <summary>Cache and read-ahead; left out without them.</summary>
    public CacheStatus? Cache => status.Activity?.Cache;

    /// <summary>Requests that went to the server; left out as <see cref="Queue"/>.</summary>
    public IReadOnlyList<OperationStatus>? ServerOperations => status.Activity?.ServerOperations;

    /// <summary>Each connection to the server; left out as <see cref="Queue"/>.</summary>
    public IReadOnlyList<ConnectionStatus>? ConnectionDetails => status.Activity?.Connections;

    /// <summary>See <see cref="AttachStatus.CompiledMethods"/>.</summary>
    public long CompiledMethods => status.CompiledMethods;
}
