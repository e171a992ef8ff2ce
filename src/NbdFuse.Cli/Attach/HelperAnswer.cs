using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>What a <see cref="LoopHelper"/> answered. Its process waits for the disposal before it ends, and holds what it holds.</summary>
/// <remarks>OWNERSHIP: of the process and of the pipe by which it learns of the disposal; it learns of our death in the same way.</remarks>
/// <param name="fields">The fields, at least two unless the first is <see cref="LoopHelper.Done"/>.</param>
/// <param name="child">The process, or null.</param>
/// <param name="hold">The pipe to its standard input, or null.</param>
internal sealed class HelperAnswer(string[] fields, ChildProcess? child = null, FileDescriptor? hold = null) : IAsyncDisposable
{
    private int _isDisposed;

    /// <summary>One of the constants of <see cref="LoopHelper"/>, then what belongs to it.</summary>
    public string[] Fields => fields;

    /// <summary>Whether it has done what it was told.</summary>
    public bool IsDone => fields[0] == LoopHelper.Done;

    /// <summary>Lets the process go, and waits until it has ended.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) != 0 || child is null)
        {
            return;
        }

        hold?.Dispose();
        await Task.Factory.StartNew(
            () => child.WaitForExit(Timeout.InfiniteTimeSpan),
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default).ConfigureAwait(false);
        child.Dispose();
    }
}
