namespace NbdFuse.Attach;

/// <summary>What a daemon has written down about itself: the content of its state file.</summary>
public sealed record AttachState
{
    /// <summary>Version of the format.</summary>
    public int Version { get; init; } = 1;

    /// <summary>Process id of the daemon.</summary>
    public int Pid { get; init; }

    /// <summary>Start of the process, in clock ticks after the boot: tells it from another that got its id later.</summary>
    public long ProcessStart { get; init; }

    /// <summary>Path of the device; empty before there is one.</summary>
    public string Device { get; init; } = string.Empty;

    /// <summary>How the device is made: fuse.</summary>
    public string Driver { get; init; } = "fuse";

    /// <summary>Where the server is.</summary>
    public string Server { get; init; } = string.Empty;

    /// <summary>Name of the export; empty is the server's default.</summary>
    public string Export { get; init; } = string.Empty;

    /// <summary>Size of the device in bytes.</summary>
    public long Size { get; init; }

    /// <summary>Writes are refused.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Connections to the server.</summary>
    public int Connections { get; init; }
}
