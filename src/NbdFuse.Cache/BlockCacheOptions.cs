namespace NbdFuse.Cache;

/// <summary>How a <see cref="BlockCache"/> behaves. Immutable.</summary>
public sealed record BlockCacheOptions
{
    /// <summary>The smallest cache or read-ahead that is not off, in bytes.</summary>
    public const long MinimumBytes = 1 << 20;

    /// <summary>The largest cache, in bytes: 1 TiB.</summary>
    public const long MaximumBytes = 1L << 40;

    /// <summary>The largest read-ahead, in bytes: 1 GiB.</summary>
    public const long MaximumReadAheadBytes = 1L << 30;

    /// <summary>
    /// Memory for the content of hot granules of 4 KiB, in bytes; 0: nothing is kept. About 1.2 % more goes for finding them.
    /// </summary>
    public long CacheBytes { get; init; } = 32L << 20;

    /// <summary>Memory for what is read before it is asked for, in bytes; 0: nothing is read ahead.</summary>
    public long ReadAheadBytes { get; init; } = 8L << 20;

    /// <summary>
    /// While an answer takes at least this long, a short read that is not in memory reads what lies around it, too, some
    /// 64th of <see cref="ReadAheadBytes"/>: for a boot, which reads a thousand short ranges of a small part of its disk. Null: never.
    /// </summary>
    public long? AroundAboveMicroseconds { get; init; }

    /// <summary>
    /// Reads of at least this many bytes that are not in memory pass the cache by and are not kept, so that their payload can go
    /// from the socket to the caller without a copy. 4096 to 1 MiB, a multiple of 4096.
    /// </summary>
    public int BypassBytes { get; init; } = 64 << 10;

    /// <summary>What an earlier reader has read, to be read ahead of the next one; of a device of the same size. Null: none.</summary>
    public AccessTrace? Prefetch { get; init; }

    /// <summary>Memory for what <see cref="Prefetch"/> brings before it is asked for, in bytes; 2 MiB more are under way at most.</summary>
    public long PrefetchBytes { get; init; } = 32L << 20;

    /// <summary>
    /// Largest READ that the server takes, in bytes: nothing longer is read ahead in one piece. The layers between hide it.
    /// </summary>
    public int MaximumPayload { get; init; } = int.MaxValue;

    /// <summary>Measures latencies and rates.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>Bytes that the cache's memory must have (<see cref="ICacheMemory"/>); it is touched only as it is needed.</summary>
    public long MemoryBytes => CacheMemoryLayout.Of(this).Total;
}
