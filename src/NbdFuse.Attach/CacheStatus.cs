namespace NbdFuse.Attach;

/// <summary>What the cache and read-ahead have done. Each read counts once among hits, misses, partial, coalesced and joined.</summary>
public sealed record CacheStatus
{
    /// <summary>Reads that were answered from memory.</summary>
    public required long Hits { get; init; }

    /// <summary>Bytes of <see cref="Hits"/>.</summary>
    public required long HitBytes { get; init; }

    /// <summary>Reads of which nothing was in memory.</summary>
    public required long Misses { get; init; }

    /// <summary>Reads of which a part was in memory; they went to the server whole.</summary>
    public required long Partial { get; init; }

    /// <summary>Reads that waited for another read of the same blocks.</summary>
    public required long Coalesced { get; init; }

    /// <summary>Reads that waited for read-ahead under way.</summary>
    public required long JoinedPrefetches { get; init; }

    /// <summary>Reads whose content could not be kept.</summary>
    public required long Bypassed { get; init; }

    /// <summary>Reads that went to the server again, alone, after a longer one had failed.</summary>
    public required long Retries { get; init; }

    /// <summary>Requests to read ahead.</summary>
    public required long Prefetches { get; init; }

    /// <summary>Bytes that were read ahead.</summary>
    public required long PrefetchedBytes { get; init; }

    /// <summary>Bytes of those that were asked for.</summary>
    public required long UsedPrefetchedBytes { get; init; }

    /// <summary>Bytes of those that were dropped unasked.</summary>
    public required long WastedPrefetchedBytes { get; init; }

    /// <summary>Blocks that left for others.</summary>
    public required long Evictions { get; init; }

    /// <summary>Blocks that were read and not kept.</summary>
    public required long Rejections { get; init; }

    /// <summary>Blocks that writes made leave.</summary>
    public required long Invalidations { get; init; }

    /// <summary>Bytes of content in memory at present.</summary>
    public required long HeldBytes { get; init; }

    /// <summary>Smoothed time of a read from the server, in microseconds; 0 before the first.</summary>
    public required long ReadMicroseconds { get; init; }
}
