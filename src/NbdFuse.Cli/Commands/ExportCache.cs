using NbdFuse.Block;
using NbdFuse.Cache;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>The cache of one export, joined with native memory.</summary>
internal sealed class ExportCache : IDisposable
{
    /// <summary>Memory for content, in bytes, when the user says nothing.</summary>
    public const long DefaultCacheBytes = 8L << 20;

    /// <summary>Memory for reading ahead, in bytes, when the user says nothing.</summary>
    public const long DefaultReadAheadBytes = 24L << 20;

    // An answer that takes so long is a matter of distance, or of the server's disk: at a gigabit per second 256 KiB take half of it.
    private const long SlowMicroseconds = 4000;

    private readonly NativeRegion _region;

    private ExportCache(NativeRegion region, BlockCache device)
    {
        _region = region;
        Device = device;
    }

    /// <summary>The cache.</summary>
    public BlockCache Device { get; }

    /// <summary>Puts a cache over a device.</summary>
    /// <param name="stack">All layers, in their order.</param>
    /// <param name="export">What the server takes, which the layers hide.</param>
    /// <param name="ready">Ready list of the loop.</param>
    /// <param name="cacheBytes">Memory for content; 0 for none, null for the default.</param>
    /// <param name="readAheadBytes">Memory for reading ahead; 0 for none, null for the default.</param>
    /// <param name="trace">What is read ahead by a trace, or null.</param>
    /// <param name="readsAround">Whether short reads of a slow server bring what lies around them.</param>
    /// <returns>Null when there is nothing to put in between.</returns>
    /// <exception cref="PosixException">There is no memory for it.</exception>
    public static ExportCache? Over(
        IBlockDevice stack, BlockDeviceInfo export, ReadyList ready, long? cacheBytes, long? readAheadBytes, AccessTrace? trace = null, bool readsAround = false)
    {
        var options = new BlockCacheOptions
        {
            CacheBytes = cacheBytes ?? DefaultCacheBytes,
            ReadAheadBytes = readAheadBytes ?? DefaultReadAheadBytes,
            MaximumPayload = export.MaximumPayload,
            AroundAboveMicroseconds = readsAround ? SlowMicroseconds : null,
            Prefetch = trace,
            PrefetchBytes = ExportTraces.MemoryBytes(),
        };
        if (!BlockCache.Fits(export))
        {
            // Nothing that is said by default may keep an export from being mounted; what was asked for is refused below.
            options = options with { CacheBytes = cacheBytes ?? 0, ReadAheadBytes = readsAround ? 0 : readAheadBytes ?? 0 };
        }

        if (options.CacheBytes == 0 && options.ReadAheadBytes == 0 && trace is null)
        {
            return null;
        }

        NativeRegion region = NativeRegion.Create("nbdfuse-cache", options.MemoryBytes);
        try
        {
            return new ExportCache(region, new BlockCache(stack, ready, options, new RegionMemory(region)));
        }
        catch
        {
            region.Dispose();
            throw;
        }
    }

    /// <summary>Gives the memory back. After the loop and all connections have ended: they write into it.</summary>
    public void Dispose() => _region.Dispose();

    private sealed class RegionMemory(NativeRegion region) : ICacheMemory
    {
        public long Length => region.Length;

        public Memory<byte> Slice(long offset, int length) => region.Slice(offset, length);

        public Span<byte> Span(long offset, int length) => region.Span(offset, length);

        // Where that fails the memory stays in use: nothing else follows from it.
        public void Release(long offset, long length) =>
            Posix.Fallocate(region.FileDescriptor.Value, Posix.FallocateKeepSize | Posix.FallocatePunchHole, offset, length);
    }
}
