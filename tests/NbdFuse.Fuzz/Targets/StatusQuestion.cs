using NbdFuse.Block;

namespace NbdFuse.Fuzz.Targets;

/// <summary>A BLOCK_STATUS of a <see cref="SessionTarget"/>, and what has come of it.</summary>
internal sealed class StatusQuestion(long offset, long length) : IBlockCompletion
{
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _error;
    private long _told;
    private BlockStatus _status;

    /// <summary>Ends when the request has.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Asks. On the loop.</summary>
    /// <param name="queue">The queue, which has room.</param>
    public void Submit(RequestQueue queue)
    {
        if (!queue.TryRent(out BlockRequest? request))
        {
            throw new FuzzFailureException("the queue is full");
        }

        request.Operation = BlockOperation.BlockStatus;
        request.Offset = offset;
        request.Length = length;
        request.Owner = this;
        request.OwnerState = queue;
        queue.Submit(request, 0);
    }

    /// <summary>Holds the answer against what is asked, and what is true.</summary>
    /// <param name="isFaulty">An error may be due to the server.</param>
    /// <param name="hasLied">A wrong answer may be.</param>
    public void Check(bool isFaulty, bool hasLied)
    {
        if (_error != 0)
        {
            if (!isFaulty)
            {
                throw new FuzzFailureException($"a question to a healthy server failed: {_error}");
            }
        }
        else if (_told < 1 || _told > length)
        {
            throw new FuzzFailureException($"{_told} bytes answered a question about {length}");
        }
        else if (!hasLied && (_status != (BlockStatus)FaultySession.StatusAt((ulong)offset) || _told > 65536 - (offset % 65536)))
        {
            throw new FuzzFailureException($"a wrong status was told as right: {_status} for {_told} bytes at {offset}");
        }
    }

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        (_error, _told, _status) = (request.Error, request.StatusLength, request.Status);
        ((RequestQueue)request.OwnerState!).Return(request);
        _ended.SetResult();
        return false;
    }
}
