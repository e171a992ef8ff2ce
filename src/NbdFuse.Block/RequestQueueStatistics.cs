namespace NbdFuse.Block;

/// <summary>
/// What a <see cref="RequestQueue"/> has done since it was made. Written by the loop; other threads may read it and
/// see each number alone right, not all of one instant.
/// </summary>
public sealed class RequestQueueStatistics
{
    /// <summary>Requests that have ended, by kind.</summary>
    public OperationStatistics Operations { get; } = new();

    /// <inheritdoc cref="OperationStatistics.Requests"/>
    public long Requests(BlockOperation operation) => Operations.Requests(operation);

    /// <inheritdoc cref="OperationStatistics.Bytes"/>
    public long Bytes(BlockOperation operation) => Operations.Bytes(operation);

    /// <inheritdoc cref="OperationStatistics.Errors"/>
    public long Errors(BlockOperation operation) => Operations.Errors(operation);

    /// <summary>
    /// Times during which the queue was full and the kernel's requests had to wait outside: each counts once, however many waited.
    /// </summary>
    public LatencyHistogram Full { get; } = new();

    /// <summary>Most requests that were in flight at once.</summary>
    public int PeakInFlight { get; internal set; }

    /// <summary>Requests that were answered before they had ended (interrupts).</summary>
    public long Abandoned { get; internal set; }
}
