namespace NbdFuse.Attach;

/// <summary>How long the requests of a kind took, in microseconds.</summary>
/// <param name="Mean">On average.</param>
/// <param name="Median">Upper bound for the quicker half; a power of two.</param>
/// <param name="Percentile99">Upper bound for 99 of 100; a power of two.</param>
/// <param name="Maximum">The slowest.</param>
public sealed record LatencyStatus(long Mean, long Median, long Percentile99, long Maximum);
