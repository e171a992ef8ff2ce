namespace NbdFuse.Client;

/// <summary>Runs blocking conversations outside the thread pool, which they would starve.</summary>
internal static class BlockingWork
{
    /// <summary>Runs the work on a thread of its own.</summary>
    public static Task<T> RunAsync<T>(Func<T> work, CancellationToken cancellationToken) => Task.Factory.StartNew(
        work,
        cancellationToken,
        TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach,
        TaskScheduler.Default);
}
