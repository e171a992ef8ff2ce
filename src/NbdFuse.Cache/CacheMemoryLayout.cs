using System.Numerics;

namespace NbdFuse.Cache;

/// <summary>How the memory of a <see cref="BlockCache"/> is divided: granules, then segments, then scratch.</summary>
internal readonly record struct CacheMemoryLayout
{
    /// <summary>Bytes of a granule: a page of the kernel, the smallest piece that callers ask for as a rule.</summary>
    public const int Granule = 1 << GranuleShift;

    /// <summary>Binary logarithm of <see cref="Granule"/>.</summary>
    public const int GranuleShift = 12;

    /// <summary>Pieces that reads which do not begin and end at granules are widened in.</summary>
    public const int Scratches = 32;

    private const int WantedSegments = 64;
    private const int SmallestSegment = 64 << 10;
    private const int LargestSegment = 1 << 20;

    /// <summary>Granules that are kept.</summary>
    public required int Slots { get; init; }

    /// <summary>Pieces of read-ahead.</summary>
    public required int Segments { get; init; }

    /// <summary>Bytes of each, a power of two.</summary>
    public required int SegmentBytes { get; init; }

    /// <summary>Bytes of a scratch.</summary>
    public required int ScratchBytes { get; init; }

    /// <summary>Where the segments begin.</summary>
    public long SegmentsOffset => (long)Slots << GranuleShift;

    /// <summary>Where the scratches begin.</summary>
    public long ScratchOffset => SegmentsOffset + ((long)Segments * SegmentBytes);

    /// <summary>Bytes in all.</summary>
    public long Total => ScratchOffset + ((long)Scratches * ScratchBytes);

    /// <summary>Divides the memory.</summary>
    /// <param name="options">The sizes.</param>
    /// <exception cref="ArgumentOutOfRangeException">A size is out of range.</exception>
    public static CacheMemoryLayout Of(BlockCacheOptions options)
    {
        Check(options.CacheBytes, nameof(options.CacheBytes));
        Check(options.ReadAheadBytes, nameof(options.ReadAheadBytes));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BypassBytes, Granule);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.BypassBytes, 1 << 20);
        ArgumentOutOfRangeException.ThrowIfNotEqual(options.BypassBytes % Granule, 0);
        int segmentBytes = (int)Math.Clamp(
            (long)BitOperations.RoundUpToPowerOf2((ulong)options.ReadAheadBytes / WantedSegments), SmallestSegment, LargestSegment);
        return new CacheMemoryLayout
        {
            Slots = (int)(options.CacheBytes >> GranuleShift),
            Segments = (int)Math.Min(options.ReadAheadBytes / segmentBytes, 4096),
            SegmentBytes = segmentBytes,
            ScratchBytes = options.BypassBytes + (2 * Granule),
        };
    }

    private static void Check(long bytes, string name)
    {
        if (bytes != 0 && bytes is < BlockCacheOptions.MinimumBytes or > BlockCacheOptions.MaximumBytes)
        {
            throw new ArgumentOutOfRangeException(
                name, bytes, $"It is 0, or {BlockCacheOptions.MinimumBytes} to {BlockCacheOptions.MaximumBytes} bytes.");
        }
    }
}
