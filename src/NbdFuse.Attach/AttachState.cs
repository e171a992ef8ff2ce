namespace NbdFuse.Attach;

/// <summary>What a daemon has written down about itself: the content of its state file.</summary>
/// <remarks>Texts are never null, and lists hold none: what a file leaves out, or says null of, the reader of JSON would pass on.</remarks>
public sealed record AttachState
{
    /// <summary>Version of the format.</summary>
    public int Version { get; init; } = 1;

    /// <summary>Process id of the daemon.</summary>
    public int Pid { get; init; }

    /// <summary>Start of the process, in clock ticks after the boot: tells it from another that got its id later.</summary>
    public long ProcessStart { get; init; }

    /// <summary>Process id of the process that serves the device for a daemon that is its keeper; 0 when the daemon does it itself.</summary>
    public int Worker { get; init; }

    /// <summary>Start of the process <see cref="Worker"/>, in clock ticks after the boot; 0 without one.</summary>
    public long WorkerStart { get; init; }

    /// <summary>Path of the device; empty before there is one.</summary>
    public string Device { get; init => field = value ?? string.Empty; } = string.Empty;

    /// <summary>How the device is made: fuse, ublk or nbd, or file for a mounted file; empty before that is decided.</summary>
    public string Driver { get; init => field = value ?? string.Empty; } = string.Empty;

    /// <summary>Words of attach that made the device, for making it again; null when it needs no process of ours.</summary>
    public IReadOnlyList<string>? Words { get; init => field = value?.Contains(null!) == true ? null : value; }

    /// <summary>What the driver notes for itself, such as the kernel's number of its device; null for nothing.</summary>
    public string? DriverNote { get; init; }

    /// <summary>Where the server is.</summary>
    public string Server { get; init => field = value ?? string.Empty; } = string.Empty;

    /// <summary>Name of the export; empty is the server's default.</summary>
    public string Export { get; init => field = value ?? string.Empty; } = string.Empty;

    /// <summary>Size of the device in bytes.</summary>
    public long Size { get; init; }

    /// <summary>Bytes at the end of the export that the device cannot reach, because they do not fill a block.</summary>
    public long UnreachableTail { get; init; }

    /// <summary>Logical block size in bytes, 512 to 4096.</summary>
    public int BlockSize { get; init; }

    /// <summary>Paths of the partitions' nodes, as attach found them; null for none.</summary>
    public IReadOnlyList<string>? Partitions { get; init => field = value?.Contains(null!) == true ? null : value; }

    /// <summary>Writes are refused.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Connections to the server.</summary>
    public int Connections { get; init; }
}
