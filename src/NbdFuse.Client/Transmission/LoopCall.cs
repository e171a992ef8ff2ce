namespace NbdFuse.Client.Transmission;

/// <summary>Actions of the control plane on a loop's thread.</summary>
internal static class LoopCall
{
    /// <summary>Runs an action on a loop's thread, or something else here when that thread has ended.</summary>
    /// <param name="post">Hands the action to the loop; false when it has ended.</param>
    /// <param name="action">The action.</param>
    /// <param name="afterEnd">What to do instead once the thread is gone.</param>
    /// <param name="timeout">How long to wait for the action.</param>
    /// <returns>False when the thread is there but does not answer.</returns>
    public static async Task<bool> RunAsync(Func<Action, bool> post, Action action, Action afterEnd, TimeSpan timeout)
    {
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        bool posted = post(() =>
        {
            try
            {
                action();
            }
            finally
            {
                done.TrySetResult();
            }
        });
        if (posted)
        {
            try
            {
                await done.Task.WaitAsync(timeout).ConfigureAwait(false);
                return true;
            }
            catch (TimeoutException)
            {
                // A loop that died between taking the action and running it never answers, but then it refuses the next one.
                if (post(() => { }))
                {
                    return false;
                }
            }
        }

        afterEnd();
        return true;
    }
}
