namespace NbdFuse.Attach;

/// <summary>How long things took, in microseconds.</summary>
/// <param name="Mean">On average.</param>
/// <param name="Median">Upper bound for the quicker half; a power of two.</param>
/// <param name="Percentile99">Upper bound for 99 of 100; a power of two.</param>
/// <param name="Maximum">The slowest.</param>
/// <param name="Histogram">Counts by powers of two, from the quickest, without those of 0; null where nobody keeps them.</param>
public sealed record LatencyStatus(
    long Mean, long Median, long Percentile99, long Maximum, IReadOnlyList<LatencyBucket>? Histogram = null);
