using NbdFuse.Block;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>Reads through a request queue that no front end uses yet, for what must be known before there is one.</summary>
/// <remarks>THREADING: control plane; the loop runs.</remarks>
internal sealed class QueueReader : ITurnHook, IBlockCompletion
{
    private readonly EventLoop _loop;
    private readonly RequestQueue _queue;
    private readonly byte[] _buffer;
    private readonly TaskCompletionSource<int> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private QueueReader(EventLoop loop, RequestQueue queue, int length)
    {
        _loop = loop;
        _queue = queue;
        _buffer = GC.AllocateArray<byte>(length, pinned: true);
    }

    /// <inheritdoc/>
    bool ITurnHook.WantsSpin => false;

    /// <summary>Reads the start of the device.</summary>
    /// <param name="loop">Loop of the queue.</param>
    /// <param name="queue">The queue.</param>
    /// <param name="length">Bytes, up to the size of the device.</param>
    /// <param name="cancellation">Ends the waiting; the memory is then the request's until it ends.</param>
    /// <returns>The bytes.</returns>
    /// <exception cref="PosixException">They could not be read.</exception>
    public static async Task<byte[]> ReadStartAsync(EventLoop loop, RequestQueue queue, int length, CancellationToken cancellation)
    {
        var reader = new QueueReader(loop, queue, length);
        loop.Post(reader.Submit);
        int error = await reader._done.Task.WaitAsync(cancellation).ConfigureAwait(false);
        return error == 0 ? reader._buffer : throw new PosixException("read the start of the export", error);
    }

    /// <inheritdoc/>
    void ITurnHook.OnTurnEnd()
    {
        do
        {
            _queue.Ready.Run();
            _queue.EndTurn();
        }
        while (!_queue.Ready.IsEmpty);
    }

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        int error = request.Error;
        _queue.Return(request);
        _loop.RemoveTurnHook(this);
        _done.TrySetResult(error);
        return false;
    }

    private void Submit()
    {
        if (!_queue.TryRent(out BlockRequest? request))
        {
            _done.TrySetResult(Errno.EBUSY);
            return;
        }

        _loop.AddTurnHook(this);
        request.Operation = BlockOperation.Read;
        request.Length = _buffer.Length;
        request.Buffer = _buffer;
        request.Owner = this;
        _queue.Submit(request, _loop.NowMs);
    }
}
