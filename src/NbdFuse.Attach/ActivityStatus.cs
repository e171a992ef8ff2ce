namespace NbdFuse.Attach;

/// <summary>Why a device is as fast as it is: what was asked of it in detail, from the kernel's side to the server's.</summary>
/// <param name="Queue">The queue.</param>
/// <param name="Cache">Cache and read-ahead; null without.</param>
/// <param name="ServerOperations">Requests that went to the server, by kind, those of our own included.</param>
/// <param name="Connections">Each connection to the server.</param>
public sealed record ActivityStatus(
    QueueStatus Queue, CacheStatus? Cache, IReadOnlyList<OperationStatus> ServerOperations, IReadOnlyList<ConnectionStatus> Connections);
