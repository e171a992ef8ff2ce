namespace NbdFuse.Block.Layers;

/// <summary>
/// Keeps overlapping changes in the order in which they were submitted: of two mutating requests that overlap, the
/// second is not passed down before the first has ended. Abandoned requests count until they have ended.
/// </summary>
/// <remarks>
/// A server may execute requests in any order (NBD spec, "Ordering of messages and writes"), so without this the
/// older of two overlapping writes could win. Ranges are widened to whole blocks, which also gives a block that a
/// layer below reads, changes and writes back to one writer at a time.
/// THREADING: the loop's thread only.
/// </remarks>
public sealed class OrderingLayer : IBlockDevice, IBlockCompletion, IRequestWithdrawal
{
    private readonly IBlockDevice _lower;
    private readonly long _blockMask;

    // Ranges that are under way below, dense: [_start[i], _end[i]) belongs to the request with tag _tag[i].
    private readonly long[] _start;
    private readonly long[] _end;
    private readonly int[] _tag;
    private readonly int[] _positionOfTag;
    private int _active;
    private BlockRequestList _waiting;

    /// <summary>Makes the layer.</summary>
    /// <param name="lower">The device below.</param>
    /// <param name="capacity">Number of slots above: every request's tag is below it, and no two in flight are equal.</param>
    /// <param name="blockSize">Bytes of the blocks that ranges are widened to; a power of two.</param>
    public OrderingLayer(IBlockDevice lower, int capacity, int blockSize)
    {
        if (!System.Numerics.BitOperations.IsPow2(blockSize))
        {
            throw new ArgumentOutOfRangeException(nameof(blockSize), blockSize, "The block size is a power of two.");
        }

        _lower = lower;
        _blockMask = blockSize - 1;
        _start = new long[capacity];
        _end = new long[capacity];
        _tag = new int[capacity];
        _positionOfTag = new int[capacity];
    }

    /// <inheritdoc/>
    public BlockDeviceInfo Info => _lower.Info;

    /// <summary>Number of requests that wait for an older one to end.</summary>
    public int Waiting { get; private set; }

    /// <inheritdoc/>
    public void Submit(BlockRequest request)
    {
        if (!request.IsMutating)
        {
            _lower.Submit(request);
            return;
        }

        if ((Waiting > 0 && OverlapsWaiting(request, null)) || OverlapsActive(request))
        {
            Waiting++;
            _waiting.AddLast(request);
            return;
        }

        Activate(request);
    }

    /// <inheritdoc/>
    public bool TryWithdraw(BlockRequest request)
    {
        if (!_waiting.Remove(request))
        {
            return false;
        }

        Waiting--;
        request.Complete(BlockErrno.EINTR);

        // Younger ones may have waited for this one only.
        ReleaseWaiting();
        return true;
    }

    /// <inheritdoc/>
    public void EndTurn() => _lower.EndTurn();

    /// <inheritdoc/>
    public void AdoptSize() => _lower.AdoptSize();

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        int position = _positionOfTag[request.Tag];
        int last = --_active;
        _start[position] = _start[last];
        _end[position] = _end[last];
        _tag[position] = _tag[last];
        _positionOfTag[_tag[position]] = position;
        if (Waiting > 0)
        {
            ReleaseWaiting();
        }

        return true;
    }

    private void Activate(BlockRequest request)
    {
        int position = _active++;
        _start[position] = request.Offset & ~_blockMask;
        _end[position] = WidenEnd(request.End);
        _tag[position] = request.Tag;
        _positionOfTag[request.Tag] = position;
        request.Push(this);
        _lower.Submit(request);
    }

    private void ReleaseWaiting()
    {
        BlockRequest? request = _waiting.First;
        while (request is not null)
        {
            BlockRequest? next = request.Next;
            if (request.IsAbandoned)
            {
                // Its caller was told EINTR and it has not been sent: withdraw it.
                Take(request);
                request.Complete(BlockErrno.EINTR);
            }
            else if (!OverlapsActive(request) && !OverlapsWaiting(request, request))
            {
                Take(request);
                Activate(request);
            }

            request = next;
        }
    }

    private void Take(BlockRequest request)
    {
        _waiting.Remove(request);
        Waiting--;
    }

    /// <summary>End of the last block touched; a device may end just below 2^63, where rounding up would overflow.</summary>
    private long WidenEnd(long end) =>
        end > long.MaxValue - _blockMask ? long.MaxValue : (end + _blockMask) & ~_blockMask;

    private bool OverlapsActive(BlockRequest request)
    {
        long start = request.Offset & ~_blockMask;
        long end = WidenEnd(request.End);
        for (int i = 0; i < _active; i++)
        {
            if (_start[i] < end && start < _end[i])
            {
                return true;
            }
        }

        return false;
    }

    private bool OverlapsWaiting(BlockRequest request, BlockRequest? until)
    {
        long start = request.Offset & ~_blockMask;
        long end = WidenEnd(request.End);
        for (BlockRequest? other = _waiting.First; other is not null && !ReferenceEquals(other, until); other = other.Next)
        {
            if ((other.Offset & ~_blockMask) < end && start < WidenEnd(other.End))
            {
                return true;
            }
        }

        return false;
    }
}
