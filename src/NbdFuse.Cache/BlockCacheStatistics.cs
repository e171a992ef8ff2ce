namespace NbdFuse.Cache;

/// <summary>
/// What a <see cref="BlockCache"/> has done since it was made. Written by the loop; other threads may read it and see each
/// number alone right, not all of one instant. Every read is counted in exactly one of <see cref="Hits"/>, <see cref="Coalesced"/>,
/// <see cref="JoinedPrefetches"/>, <see cref="Partial"/>, <see cref="Misses"/>.
/// </summary>
public sealed class BlockCacheStatistics
{
    /// <summary>Reads that were answered from memory.</summary>
    public long Hits { get; internal set; }

    /// <summary>Bytes of <see cref="Hits"/>.</summary>
    public long HitBytes { get; internal set; }

    /// <summary>Reads of which nothing was in memory.</summary>
    public long Misses { get; internal set; }

    /// <summary>Reads of which a part was in memory; they went down whole.</summary>
    public long Partial { get; internal set; }

    /// <summary>Reads that waited for another read of the same granules instead of going down themselves.</summary>
    public long Coalesced { get; internal set; }

    /// <summary>Reads that waited for read-ahead which was under way.</summary>
    public long JoinedPrefetches { get; internal set; }

    /// <summary>
    /// Reads, of <see cref="Misses"/> and <see cref="Partial"/>, whose content could not be kept: long ones, ones beside a write, and
    /// most of those of a reader who reads nothing again.
    /// </summary>
    public long Bypassed { get; internal set; }

    /// <summary>Reads that went down again, with their exact range, because a longer one that served them had failed.</summary>
    public long Retries { get; internal set; }

    /// <summary>Requests that were made to read ahead.</summary>
    public long Prefetches { get; internal set; }

    /// <summary>Bytes that were read ahead.</summary>
    public long PrefetchedBytes { get; internal set; }

    /// <summary>Bytes of <see cref="PrefetchedBytes"/> that were asked for afterwards.</summary>
    public long UsedPrefetchedBytes { get; internal set; }

    /// <summary>Bytes of <see cref="PrefetchedBytes"/> that were dropped without having been asked for.</summary>
    public long WastedPrefetchedBytes { get; internal set; }

    /// <summary>Granules that had to leave for others.</summary>
    public long Evictions { get; internal set; }

    /// <summary>Granules that were read and not kept, as nothing is known for them.</summary>
    public long Rejections { get; internal set; }

    /// <summary>Granules and segments that writes made leave.</summary>
    public long Invalidations { get; internal set; }

    /// <summary>Bytes of content held at present: granules, and what is read ahead or about to be.</summary>
    public long HeldBytes { get; internal set; }

    /// <summary>Smoothed time of a read from the device below, in microseconds; 0 before the first.</summary>
    public long LatencyMicroseconds { get; internal set; }
}
