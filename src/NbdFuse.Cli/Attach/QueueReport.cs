using NbdFuse.Attach;
using NbdFuse.Block;
using NbdFuse.Client;

namespace NbdFuse.Cli;

/// <summary>The counters of a request queue, as status shows them.</summary>
internal static class QueueReport
{
    private static readonly (BlockOperation Operation, string Name)[] Operations =
    [
        (BlockOperation.Read, "read"),
        (BlockOperation.Write, "write"),
        (BlockOperation.Flush, "flush"),
        (BlockOperation.Trim, "trim"),
        (BlockOperation.WriteZeroes, "write-zeroes"),
    ];

    /// <summary>Reads the counters.</summary>
    /// <param name="statistics">Of the queue.</param>
    public static IReadOnlyList<OperationStatus> Of(RequestQueueStatistics statistics) =>
    [
        .. Operations.Select(operation => new OperationStatus(
            operation.Name,
            statistics.Requests(operation.Operation),
            statistics.Bytes(operation.Operation),
            statistics.Errors(operation.Operation),
            Latency(statistics, operation.Operation))),
    ];

    /// <summary>What an export has gone through.</summary>
    /// <param name="export">The export.</param>
    public static RecoveryStatus RecoveryOf(NbdExport export) =>
        new(export.Generation, export.Reconnects, export.ReplayedWrites, export.WriteLogBytes, export.WriteLogCapacity);

    private static LatencyStatus? Latency(RequestQueueStatistics statistics, BlockOperation operation)
    {
        long requests = statistics.Requests(operation);
        return requests == 0
            ? null
            : new LatencyStatus(
                (long)statistics.TotalLatency(operation).TotalMicroseconds / requests,
                statistics.LatencyBound(operation, 0.5),
                statistics.LatencyBound(operation, 0.99),
                (long)statistics.MaximumLatency(operation).TotalMicroseconds);
    }
}
