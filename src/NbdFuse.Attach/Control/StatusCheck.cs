namespace NbdFuse.Attach.Control;

/// <summary>
/// Whether all is there that a status promises: the reader of JSON passes on what a daemon of another version leaves out, and
/// nulls in lists.
/// </summary>
internal static class StatusCheck
{
    /// <summary>Checks a status.</summary>
    /// <param name="status">As it was read.</param>
    /// <returns>False when something lacks that whoever shows it counts on.</returns>
    public static bool IsWhole(AttachStatus status) =>
        status.Attached is not null
        && status.State is not null
        && Are(status.Guarantees, guarantee => guarantee.Name is not null)
        && Are(status.Operations, IsWhole)
        && (status.Activity is not { } activity || IsWhole(activity));

    private static bool IsWhole(ActivityStatus activity) =>
        activity.Queue is { } queue
        && IsWhole(queue.FullLatency)
        && IsWhole(queue.Wait)
        && activity.ServerOperations is not null
        && Are(activity.ServerOperations, IsWhole)
        && activity.Connections is not null
        && Are(activity.Connections, connection => connection.State is not null);

    private static bool IsWhole(OperationStatus operation) => operation.Operation is not null && IsWhole(operation.Latency);

    private static bool IsWhole(LatencyStatus? latency) => Are(latency?.Histogram, _ => true);

    private static bool Are<T>(IReadOnlyList<T>? list, Func<T, bool> isWhole)
        where T : class =>
        list?.All(item => item is not null && isWhole(item)) ?? true;
}
