namespace NbdFuse.TestKit;

/// <summary>
/// Bounds on waiting. A deadline only turns a hang into a failure: no test may depend on how fast something is.
/// </summary>
public static class Deadline
{
    /// <summary>Longest wait for anything that should happen at once.</summary>
    public static readonly TimeSpan Default = TimeSpan.FromSeconds(30);

    /// <summary>Waits for a task.</summary>
    /// <param name="task">The task.</param>
    /// <param name="what">What is being waited for, for the message.</param>
    /// <exception cref="TimeoutException">It did not end within <see cref="Default"/>.</exception>
    public static async Task Within(Task task, string what)
    {
        try
        {
            await task.WaitAsync(Default).ConfigureAwait(false);
        }
        catch (TimeoutException) when (!task.IsCompleted)
        {
            throw new TimeoutException($"Waited {Default.TotalSeconds} s for {what}.");
        }
    }

    /// <summary>Waits for a task.</summary>
    /// <typeparam name="T">Type of the result.</typeparam>
    /// <param name="task">The task.</param>
    /// <param name="what">What is being waited for, for the message.</param>
    /// <returns>The task's result.</returns>
    /// <exception cref="TimeoutException">It did not end within <see cref="Default"/>.</exception>
    public static async Task<T> Within<T>(Task<T> task, string what)
    {
        await Within((Task)task, what).ConfigureAwait(false);
        return await task.ConfigureAwait(false);
    }

    /// <summary>Waits for a condition that only polling can see, as a file of another process.</summary>
    /// <param name="condition">The condition.</param>
    /// <param name="what">What is being waited for, for the message.</param>
    /// <exception cref="TimeoutException">It did not become true within <see cref="Default"/>.</exception>
    public static async Task Until(Func<bool> condition, string what)
    {
        long start = Environment.TickCount64;
        while (!condition())
        {
            if (Environment.TickCount64 - start > Default.TotalMilliseconds)
            {
                throw new TimeoutException($"Waited {Default.TotalSeconds} s for {what}.");
            }

            await Task.Delay(5).ConfigureAwait(false);
        }
    }
}
