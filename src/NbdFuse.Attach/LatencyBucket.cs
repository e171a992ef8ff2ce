namespace NbdFuse.Attach;

/// <summary>A bucket of a histogram of latencies.</summary>
/// <param name="Below">They took less than this many microseconds, a power of two, and not less than half of it.</param>
/// <param name="Count">How many.</param>
public sealed record LatencyBucket(long Below, long Count);
