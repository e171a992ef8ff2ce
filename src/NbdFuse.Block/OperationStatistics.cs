namespace NbdFuse.Block;

/// <summary>
/// Requests that have ended, by kind. Written by the loop, without an allocation; other threads may read it and see each number
/// alone right, not all of one instant.
/// </summary>
public sealed class OperationStatistics
{
    private static readonly int Operations = Enum.GetValues<BlockOperation>().Length;

    private readonly long[] _bytes = new long[Operations];
    private readonly long[] _errors = new long[Operations];
    private readonly LatencyHistogram[] _latencies = new LatencyHistogram[Operations];

    /// <summary>Makes counters that stand at 0.</summary>
    public OperationStatistics()
    {
        for (int i = 0; i < Operations; i++)
        {
            _latencies[i] = new LatencyHistogram();
        }
    }

    /// <summary>Requests of a kind that have ended.</summary>
    /// <param name="operation">The kind.</param>
    public long Requests(BlockOperation operation) => _latencies[(int)operation].Count;

    /// <summary>Bytes of the requests of a kind that ended well.</summary>
    /// <param name="operation">The kind.</param>
    public long Bytes(BlockOperation operation) => Volatile.Read(ref _bytes[(int)operation]);

    /// <summary>Requests of a kind that ended with an error.</summary>
    /// <param name="operation">The kind.</param>
    public long Errors(BlockOperation operation) => Volatile.Read(ref _errors[(int)operation]);

    /// <summary>How long the requests of a kind took, from their submission to their end.</summary>
    /// <param name="operation">The kind.</param>
    public LatencyHistogram Latency(BlockOperation operation) => _latencies[(int)operation];

    /// <summary>Counts a request that has ended.</summary>
    /// <param name="request">The request.</param>
    /// <param name="ticks">How long it took, in ticks of <see cref="System.Diagnostics.Stopwatch"/>; those of one turn of the loop count as one moment.</param>
    internal void Count(BlockRequest request, long ticks)
    {
        int index = (int)request.Operation;
        _latencies[index].Add(ticks);
        if (request.Error == 0)
        {
            _bytes[index] += request.Length;
        }
        else
        {
            _errors[index]++;
        }
    }
}
