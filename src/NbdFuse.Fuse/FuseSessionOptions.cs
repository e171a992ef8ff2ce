namespace NbdFuse.Fuse;

/// <summary>How a session behaves. Immutable.</summary>
public sealed record FuseSessionOptions
{
    /// <summary>The options of the mount.</summary>
    public FuseMountOptions Mount { get; init; } = new();

    /// <summary>Name of the file inside the mounted directory; null when the mount point is the file.</summary>
    public string? FileName { get; init; }

    /// <summary>What punching holes does.</summary>
    public PunchMode Punch { get; init; }

    /// <summary>
    /// Age in milliseconds from which an interrupted request is answered EINTR. Younger ones are left alone: some runtimes
    /// interrupt healthy reads all the time.
    /// </summary>
    public int InterruptAfterMs { get; init; } = 5000;

    /// <summary>Milliseconds between two looks at interrupted requests that are still too young.</summary>
    public int InterruptTickMs { get; init; } = 1000;

    /// <summary>
    /// Age in milliseconds from which a request is answered ETIMEDOUT, unless <see cref="RequestTimeoutWaits"/>; 0 for never. One
    /// that zeroes or trims gets as much again for each 128 MiB. What was sent is not undone by it, and may still happen.
    /// </summary>
    public long RequestTimeoutMs { get; init; }

    /// <summary>A request that has grown too old is spoken of in the log, and waits on.</summary>
    public bool RequestTimeoutWaits { get; init; }

    /// <summary>Milliseconds without a large payload after which the memory that large payloads took is given back.</summary>
    public int TrimAfterMs { get; init; } = 1000;

    /// <summary>Whether the loop may poll instead of sleep while few requests are in flight: latency for processor time.</summary>
    public bool Spin { get; init; } = true;

    /// <summary>Most requests that are read in one turn of the loop, at least 1.</summary>
    public int ReadsPerTurn { get; init; } = 32;
}
