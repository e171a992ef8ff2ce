using System.Collections.Concurrent;
using System.Diagnostics;

namespace NbdFuse.TestKit;

/// <summary>
/// The thread that starts programs; it lives as long as the process. Some servers (nbdkit in the foreground) ask the kernel
/// to end them with their parent, and that means the parent's thread (PR_SET_PDEATHSIG of prctl(2)): started on a thread
/// of the pool they would get SIGTERM whenever the pool retires it, in the middle of a long test.
/// </summary>
internal static class StartThread
{
    private static readonly BlockingCollection<Action> Work = [];
    private static readonly Lazy<Thread> Thread = new(Begin);

    /// <summary>Starts a program.</summary>
    /// <param name="start">Which, and how.</param>
    public static Process? Start(ProcessStartInfo start)
    {
        _ = Thread.Value;
        var started = new TaskCompletionSource<Process?>(TaskCreationOptions.RunContinuationsAsynchronously);
        Work.Add(() =>
        {
            try
            {
                started.SetResult(Process.Start(start));
            }
            catch (Exception error)
            {
                started.SetException(error);
            }
        });
        return started.Task.GetAwaiter().GetResult();
    }

    private static Thread Begin()
    {
        var thread = new Thread(() =>
        {
            foreach (Action action in Work.GetConsumingEnumerable())
            {
                action();
            }
        })
        {
            IsBackground = true,
            Name = "start programs",
        };
        thread.Start();
        return thread;
    }
}
