namespace NbdFuse.Block;

/// <summary>
/// What a <see cref="RequestQueue"/> has done since it was made. Written by the loop; other threads may read it and
/// see each number alone right, not all of one instant.
/// </summary>
public sealed class RequestQueueStatistics
{

    private const int Operations = 6;
    private readonly long[] _requests = new long[Operations];
    private readonly long[] _bytes = new long[Operations];
    private readonly long[] _errors = new long[Operations];

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

    internal void Count(BlockRequest request)
    {
        int index = (int)request.Operation;
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
}
