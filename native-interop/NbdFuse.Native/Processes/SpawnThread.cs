using System.Collections.Concurrent;

namespace NbdFuse.Native;

/// <summary>
/// The one thread that starts children. It lives as long as the process.
/// </summary>
/// <remarks>
/// A child that asks to die with its parent (PR_SET_PDEATHSIG, such as nbdkit --exit-with-parent) dies with the parent's
/// *thread* (prctl(2)). Started from a pool thread it would be killed whenever the pool retires that thread.
/// </remarks>
internal static class SpawnThread
{
    private static readonly BlockingCollection<Action> Work = [];
    private static readonly Lazy<Thread> Thread = new(Start);

    /// <summary>Runs a function on the thread and waits for it.</summary>
    /// <param name="function">The function; what it throws is thrown here.</param>
    public static T Run<T>(Func<T> function)
    {
        _ = Thread.Value;
        TaskCompletionSource<T> done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Work.Add(() =>
        {
            try
            {
                done.SetResult(function());
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        });
        return done.Task.GetAwaiter().GetResult();
    }

    private static Thread Start()
    {
        Thread thread = new(
            () =>
            {
                foreach (Action action in Work.GetConsumingEnumerable())
                {
                    action();
                }
            },
            256 * 1024)
        {
            IsBackground = true,
            Name = "nbdfuse-spawn",
        };
        thread.Start();
        return thread;
    }
}
