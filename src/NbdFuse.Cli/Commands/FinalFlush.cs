using NbdFuse.Block;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>
/// The last request of a mount: a FLUSH after the kernel has written back and let go. Pages that a program had mapped reach us
/// after the last close, so the FLUSH of that close does not cover them.
/// </summary>
internal sealed class FinalFlush : IBlockCompletion
{
    private readonly TaskCompletionSource<int> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly EventLoop _loop;
    private readonly RequestQueue _queue;

    private FinalFlush(EventLoop loop, RequestQueue queue)
    {
        _loop = loop;
        _queue = queue;
    }

    /// <summary>Sends the FLUSH.</summary>
    /// <param name="loop">Loop of the data plane; it runs.</param>
    /// <param name="queue">The queue of the mount, in which nothing but drained requests may be left.</param>
    /// <returns>Linux errno of the FLUSH, positive; 0 on success.</returns>
    public static Task<int> RunAsync(EventLoop loop, RequestQueue queue)
    {
        var flush = new FinalFlush(loop, queue);
        return loop.Post(flush.Submit) ? flush._done.Task : Task.FromResult(BlockErrno.EIO);
    }

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        int error = request.Error;
        _queue.Return(request);
        _done.TrySetResult(error);
        return false;
    }

    private void Submit()
    {
        if (!_queue.TryRent(out BlockRequest? request))
        {
            _done.TrySetResult(BlockErrno.EIO);
            return;
        }

        request.Operation = BlockOperation.Flush;
        request.Owner = this;
        _queue.Submit(request, _loop.NowMs);
    }
}
