using NbdFuse.Native;

namespace NbdFuse.UnitTests.Native;

/// <summary>A running loop, and the means to do things on its thread.</summary>
internal sealed class TestLoop : IDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public TestLoop(EventLoopOptions? options = null)
    {
        Loop = new EventLoop("test-loop", options);
    }

    public EventLoop Loop { get; }

    public void Invoke(Action action)
    {
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        bool posted = Loop.Post(() =>
        {
            try
            {
                action();
                done.SetResult();
            }
            catch (Exception error)
            {
                done.SetException(error);
            }
        });
        Xunit.Assert.True(posted);
        Xunit.Assert.True(done.Task.Wait(Patience), "the loop did not run the action");
    }

    public void Dispose() => Loop.Dispose();
}
