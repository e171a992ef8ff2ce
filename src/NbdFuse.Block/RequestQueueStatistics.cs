using System.Diagnostics;
using System.Numerics;

namespace NbdFuse.Block;

/// <summary>
/// What a <see cref="RequestQueue"/> has done since it was made. Written by the loop; other threads may read it and
/// see each number alone right, not all of one instant.
/// </summary>
public sealed class RequestQueueStatistics
{
    /// <summary>Buckets of a histogram of latencies: bucket n counts 2^n to 2^(n+1) µs, the first and the last also what is beyond.</summary>
    public const int LatencyBuckets = 32;

    private const int Operations = 7;
    private static readonly long TicksPerMicrosecond = Math.Max(1, Stopwatch.Frequency / 1_000_000);

    private readonly long[] _requests = new long[Operations];
    private readonly long[] _bytes = new long[Operations];
    private readonly long[] _errors = new long[Operations];
    private readonly long[] _ticks = new long[Operations];
    private readonly long[] _maximumTicks = new long[Operations];
    private readonly long[] _latencies = new long[Operations * LatencyBuckets];

    /// <summary>Most requests that were in flight at once.</summary>
    public int PeakInFlight { get; internal set; }

    /// <summary>Requests that were answered before they had ended (interrupts).</summary>
    public long Abandoned { get; internal set; }

    /// <summary>Requests of a kind that have ended.</summary>
    /// <param name="operation">The kind.</param>
    public long Requests(BlockOperation operation) => Volatile.Read(ref _requests[(int)operation]);

    /// <summary>Bytes of the requests of a kind that ended well.</summary>
    /// <param name="operation">The kind.</param>
    public long Bytes(BlockOperation operation) => Volatile.Read(ref _bytes[(int)operation]);

    /// <summary>Requests of a kind that ended with an error.</summary>
    /// <param name="operation">The kind.</param>
    public long Errors(BlockOperation operation) => Volatile.Read(ref _errors[(int)operation]);

    /// <summary>Time that the requests of a kind took, from their submission to their end, together.</summary>
    /// <param name="operation">The kind.</param>
    public TimeSpan TotalLatency(BlockOperation operation) => Duration(Volatile.Read(ref _ticks[(int)operation]));

    /// <summary>Time that the slowest request of a kind took.</summary>
    /// <param name="operation">The kind.</param>
    public TimeSpan MaximumLatency(BlockOperation operation) => Duration(Volatile.Read(ref _maximumTicks[(int)operation]));

    /// <summary>Requests of a kind in a bucket of its histogram.</summary>
    /// <param name="operation">The kind.</param>
    /// <param name="bucket">0 to <see cref="LatencyBuckets"/> - 1.</param>
    public long Latency(BlockOperation operation, int bucket) =>
        Volatile.Read(ref _latencies[((int)operation * LatencyBuckets) + bucket]);

    /// <summary>An upper bound of the latency of a part of the requests of a kind, in µs, right to a factor of two.</summary>
    /// <param name="operation">The kind.</param>
    /// <param name="part">The part, more than 0 and at most 1: 0.99 for the bound that 99 % keep.</param>
    /// <returns>0 when there was no request.</returns>
    public long LatencyBound(BlockOperation operation, double part)
    {
        long all = 0;
        for (int bucket = 0; bucket < LatencyBuckets; bucket++)
        {
            all += Latency(operation, bucket);
        }

        long wanted = (long)Math.Ceiling(all * part);
        for (int bucket = 0; bucket < LatencyBuckets && wanted > 0; bucket++)
        {
            wanted -= Latency(operation, bucket);
            if (wanted <= 0)
            {
                return 2L << bucket;
            }
        }

        return 0;
    }

    /// <summary>Counts a request that has ended.</summary>
    /// <param name="request">The request.</param>
    /// <param name="ticks">How long it took, in ticks of <see cref="Stopwatch"/>; those of one turn of the loop count as one moment.</param>
    internal void Count(BlockRequest request, long ticks)
    {
        int index = (int)request.Operation;
        long microseconds = ticks / TicksPerMicrosecond;
        _latencies[(index * LatencyBuckets) + Math.Min(BitOperations.Log2((ulong)microseconds | 1), LatencyBuckets - 1)]++;
        _ticks[index] += ticks;
        if (ticks > _maximumTicks[index])
        {
            _maximumTicks[index] = ticks;
        }

        _requests[index]++;
        if (request.Error == 0)
        {
            _bytes[index] += request.Length;
        }
        else
        {
            _errors[index]++;
        }
    }

    private static TimeSpan Duration(long ticks) => TimeSpan.FromMicroseconds(ticks / TicksPerMicrosecond);
}
