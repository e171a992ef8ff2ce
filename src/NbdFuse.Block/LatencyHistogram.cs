using System.Diagnostics;
using System.Numerics;

namespace NbdFuse.Block;

/// <summary>
/// How long things took: counts by powers of two, the sum and the maximum. Written by one thread, without an allocation; others may
/// read it and see each number alone right, not all of one instant.
/// </summary>
public sealed class LatencyHistogram
{
    /// <summary>Buckets: bucket n counts 2^n to 2^(n+1) µs, the first and the last also what is beyond.</summary>
    public const int Buckets = 32;

    private static readonly long TicksPerMicrosecond = Math.Max(1, Stopwatch.Frequency / 1_000_000);

    private readonly long[] _buckets = new long[Buckets];
    private long _count;
    private long _ticks;
    private long _maximum;

    /// <summary>How many there were.</summary>
    public long Count => Volatile.Read(ref _count);

    /// <summary>All together.</summary>
    public TimeSpan Total => Duration(Volatile.Read(ref _ticks));

    /// <summary>The longest.</summary>
    public TimeSpan Maximum => Duration(Volatile.Read(ref _maximum));

    /// <summary>Those in a bucket.</summary>
    /// <param name="bucket">0 to <see cref="Buckets"/> - 1.</param>
    public long this[int bucket] => Volatile.Read(ref _buckets[bucket]);

    /// <summary>An upper bound for a part of them, in µs, right to a factor of two.</summary>
    /// <param name="part">The part, more than 0 and at most 1: 0.99 for the bound that 99 % keep.</param>
    /// <returns>0 when there was none.</returns>
    public long Bound(double part)
    {
        long all = 0;
        for (int bucket = 0; bucket < Buckets; bucket++)
        {
            all += this[bucket];
        }

        long wanted = (long)Math.Ceiling(all * part);
        for (int bucket = 0; bucket < Buckets && wanted > 0; bucket++)
        {
            wanted -= this[bucket];
            if (wanted <= 0)
            {
                return 2L << bucket;
            }
        }

        return 0;
    }

    /// <summary>Adds one.</summary>
    /// <param name="ticks">Its length in ticks of <see cref="Stopwatch"/>; less than 0 counts as 0.</param>
    internal void Add(long ticks)
    {
        ticks = Math.Max(0, ticks);
        _buckets[Math.Min(BitOperations.Log2((ulong)(ticks / TicksPerMicrosecond) | 1), Buckets - 1)]++;
        _ticks += ticks;
        _count++;
        if (ticks > _maximum)
        {
            _maximum = ticks;
        }
    }

    private static TimeSpan Duration(long ticks) => TimeSpan.FromMicroseconds(ticks / TicksPerMicrosecond);
}
