using NbdFuse.Attach;
using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.Cache;
using NbdFuse.Client;

namespace NbdFuse.Cli;

/// <summary>The counters of queue, cache and export, as status shows them.</summary>
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
    /// <param name="statistics">Of the queue, or of what goes to the server.</param>
    public static IReadOnlyList<OperationStatus> Of(OperationStatistics statistics) =>
    [
        .. Operations.Select(operation => new OperationStatus(
            operation.Name,
            statistics.Requests(operation.Operation),
            statistics.Bytes(operation.Operation),
            statistics.Errors(operation.Operation),
            Latency(statistics.Latency(operation.Operation)))),
    ];

    /// <summary>What an export has gone through.</summary>
    /// <param name="export">The export.</param>
    public static RecoveryStatus RecoveryOf(NbdExport export) =>
        new(export.Generation, export.Reconnects, export.ReplayedWrites, export.WriteLogBytes, export.WriteLogCapacity);

    /// <summary>What was asked in detail.</summary>
    /// <param name="queue">The queue.</param>
    /// <param name="cache">Counters of the cache, or null without one.</param>
    /// <param name="timing">What stands over the export.</param>
    /// <param name="export">The export.</param>
    public static ActivityStatus ActivityOf(RequestQueue queue, BlockCacheStatistics? cache, TimingLayer timing, NbdExport export)
    {
        RequestQueueStatistics statistics = queue.Statistics;
        return new ActivityStatus(
            new QueueStatus(
                queue.Capacity,
                statistics.PeakInFlight,
                queue.BytesInFlight,
                statistics.Abandoned,
                statistics.Full.Count,
                Latency(statistics.Full),
                Latency(timing.Wait)),
            cache is null ? null : Of(cache),
            Of(timing.Operations),
            [.. export.ConnectionStatistics.Select(Of)]);
    }

    private static ConnectionStatus Of(NbdConnectionStatistics connection) => new(
        connection.Generation,
        connection.IsUsable ? "usable" : "lost",
        connection.InFlight,
        connection.Requests,
        connection.ReadBytes,
        connection.WrittenBytes);

    private static CacheStatus Of(BlockCacheStatistics cache) => new()
    {
        Hits = cache.Hits,
        HitBytes = cache.HitBytes,
        Misses = cache.Misses,
        Partial = cache.Partial,
        Coalesced = cache.Coalesced,
        JoinedPrefetches = cache.JoinedPrefetches,
        Bypassed = cache.Bypassed,
        Retries = cache.Retries,
        Prefetches = cache.Prefetches,
        PrefetchedBytes = cache.PrefetchedBytes,
        UsedPrefetchedBytes = cache.UsedPrefetchedBytes,
        WastedPrefetchedBytes = cache.WastedPrefetchedBytes,
        Evictions = cache.Evictions,
        Rejections = cache.Rejections,
        Invalidations = cache.Invalidations,
        HeldBytes = cache.HeldBytes,
        ReadMicroseconds = cache.LatencyMicroseconds,
    };

    private static LatencyStatus? Latency(LatencyHistogram histogram)
    {
        long count = histogram.Count;
        if (count == 0)
        {
            return null;
        }

        var buckets = new List<LatencyBucket>(LatencyHistogram.Buckets);
        for (int bucket = 0; bucket < LatencyHistogram.Buckets; bucket++)
        {
            if (histogram[bucket] > 0)
            {
                buckets.Add(new LatencyBucket(2L << bucket, histogram[bucket]));
            }
        }

        return new LatencyStatus(
            (long)histogram.Total.TotalMicroseconds / count,
            histogram.Bound(0.5),
            histogram.Bound(0.99),
            (long)histogram.Maximum.TotalMicroseconds,
            buckets);
    }
}
