namespace NbdFuse.Attach;

/// <summary>What was asked of a device so far.</summary>
/// <param name="Operation">read, write, flush, trim, write-zeroes.</param>
/// <param name="Requests">Requests that have ended.</param>
/// <param name="Bytes">Bytes of those that ended well.</param>
/// <param name="Errors">Requests that ended with an error.</param>
/// <param name="Latency">How long they took; null where nobody measures it.</param>
public sealed record OperationStatus(string Operation, long Requests, long Bytes, long Errors, LatencyStatus? Latency = null);
