using System.Numerics;

namespace NbdFuse.Cache;

/// <summary>How the memory of a <see cref="BlockCache"/> is divided: granules, then those of the trace, then segments, pieces, scratch.</summary>
internal readonly record struct CacheMemoryLayout
{
    /// <summary>Bytes of a granule: a page of the kernel, the smallest piece that callers ask for as a rule.</summary>
    public const int Granule = 1 << GranuleShift;

    /// <summary>Binary logarithm of <see cref="Granule"/>.</summary>
    public const int GranuleShift = 12;

    /// <summary>Pieces that reads which do not begin and end at granules are widened in.</summary>
    public const int Scratches = 32;

    /// <summary>Bytes of a piece that is read by a trace.</summary>
    public const int PieceBytes = 64 << 10;

    private const int WantedSegments = 64;
    private const int WantedPieces = 32;
    private const int SmallestSegment = 64 << 10;
    private const int LargestSegment = 4 << 20;

    /// <summary>Granules that are kept.</summary>
    public required int Slots { get; init; }

    /// <summary>Granules that a trace brings.</summary>
    public required int PrefetchSlots { get; init; }

    /// <summary>Pieces that are under way by a trace.</summary>
    public required int Pieces { get; init; }

    /// <summary>Pieces of read-ahead.</summary>
    public required int Segments { get; init; }

    /// <summary>Bytes of each, a power of two.</summary>
    public required int SegmentBytes { get; init; }

    /// <summary>Bytes of a scratch.</summary>
    public required int ScratchBytes { get; init; }

    /// <summary>Where the segments begin.</summary>
    public long SegmentsOffset => PrefetchOffset + ((long)PrefetchSlots << GranuleShift);

    /// <summary>Where the granules begin that a trace brings.</summary>
    public long PrefetchOffset => (long)Slots << GranuleShift;

    /// <summary>Where the pieces begin.</summary>
    public long PiecesOffset => SegmentsOffset + ((long)Segments * SegmentBytes);

    /// <summary>Where the scratches begin.</summary>
    public long ScratchOffset => PiecesOffset + ((long)Pieces * PieceBytes);

    /// <summary>Bytes in all.</summary>
    public long Total => ScratchOffset + ((long)Scratches * ScratchBytes);

    /// <summary>Divides the memory.</summary>
    /// <param name="options">The sizes.</param>
    /// <exception cref="ArgumentOutOfRangeException">A size is out of range.</exception>
    public static CacheMemoryLayout Of(BlockCacheOptions options)
    {
        Check(options.CacheBytes, BlockCacheOptions.MaximumBytes, nameof(options.CacheBytes));
        Check(options.ReadAheadBytes, BlockCacheOptions.MaximumReadAheadBytes, nameof(options.ReadAheadBytes));
        bool hasTrace = options.Prefetch is not null;
        if (hasTrace)
        {
            Check(options.PrefetchBytes, BlockCacheOptions.MaximumReadAheadBytes, nameof(options.PrefetchBytes));
            ArgumentOutOfRangeException.ThrowIfZero(options.PrefetchBytes);
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(options.BypassBytes, Granule);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.BypassBytes, 1 << 20);
        ArgumentOutOfRangeException.ThrowIfNotEqual(options.BypassBytes % Granule, 0);
        int segmentBytes = (int)Math.Clamp(
            (long)BitOperations.RoundUpToPowerOf2((ulong)options.ReadAheadBytes / WantedSegments), SmallestSegment, LargestSegment);
        return new CacheMemoryLayout
        {
            Slots = (int)(options.CacheBytes >> GranuleShift),
            PrefetchSlots = hasTrace ? (int)(options.PrefetchBytes >> GranuleShift) : 0,
            Pieces = hasTrace ? WantedPieces : 0,
            Segments = (int)(options.ReadAheadBytes / segmentBytes),
            SegmentBytes = segmentBytes,
            ScratchBytes = options.BypassBytes + (2 * Granule),
        };
    }

    private static void Check(long bytes, long maximum, string name)
    {
        if (bytes != 0 && (bytes < BlockCacheOptions.MinimumBytes || bytes > maximum))
        {
            throw new ArgumentOutOfRangeException(
                name, bytes, $"It is 0, or {BlockCacheOptions.MinimumBytes} to {maximum} bytes.");
        }
    }
}
