namespace NbdFuse.Block.Layers;

/// <summary>
/// Lets requests start and end at any byte over a device that takes whole blocks only: partial blocks are read,
/// changed and written back.
/// </summary>
/// <remarks>
/// Exclusion of other writes to a block that is being changed is the <see cref="OrderingLayer"/>'s work, above.
/// The last block of the device may be short.
/// THREADING: the loop's thread only. Bounce blocks are pinned and belong to their context until it is free again.
/// </remarks>
public sealed class AlignmentLayer : IBlockDevice, IBlockCompletion
{
    private const int Contexts = 16;

    /// <summary>A block has at most 65536 bytes.</summary>
    private const int HeadBits = 17;

    private readonly IBlockDevice _lower;
    private readonly int _block;
    private readonly Context[] _contexts = new Context[Contexts];
    private readonly int[] _free = new int[Contexts];
    private int _freeCount = Contexts;
    private BlockRequestList _waiting;
    private bool _isStarting;

    /// <summary>Makes the layer.</summary>
    /// <param name="lower">The device below; its minimum block is obeyed.</param>
    /// <param name="ready">Ready list of the loop.</param>
    public AlignmentLayer(IBlockDevice lower, ReadyList ready)
    {
        _lower = lower;
        _block = lower.Info.MinimumBlock;
        Info = lower.Info with { MinimumBlock = 1 };
        for (int i = 0; i < Contexts; i++)
        {
            _contexts[i] = new Context(ready, _block);
            _free[i] = i;
        }
    }

    /// <inheritdoc/>
    public BlockDeviceInfo Info { get; private set; }

    /// <inheritdoc/>
    public void Submit(BlockRequest request)
    {
        if (request.Operation == BlockOperation.Flush
            || (request.Offset % _block == 0 && (request.End % _block == 0 || request.End == Info.Size)))
        {
            _lower.Submit(request);
            return;
        }

        if (request.Operation == BlockOperation.BlockStatus)
        {
            SubmitStatus(request);
            return;
        }

        Start(request);
    }

    /// <inheritdoc/>
    public void EndTurn() => _lower.EndTurn();

    /// <inheritdoc/>
    public void AdoptSize()
    {
        _lower.AdoptSize();
        Info = Info.WithSizeOf(_lower.Info);
    }

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        if (state < 0)
        {
            EndStatus(request, ~state);
            return true;
        }

        Context context = _contexts[state];
        if (request.Error != 0 && context.Error == 0)
        {
            context.Error = request.Error;
        }

        if (--context.Outstanding == 0)
        {
            NextPhase((int)state);
        }

        return false;
    }

    /// <summary>Asks about whole blocks. Needs no context: what was added fits into the request's own state.</summary>
    private void SubmitStatus(BlockRequest request)
    {
        long head = request.Offset % _block;
        long tail = BlockEnd(request.End - 1 - ((request.End - 1) % _block), Info.Size) - request.End;
        request.Offset -= head;
        request.Length += head + tail;
        request.Push(this, ~((tail << HeadBits) | head));
        _lower.Submit(request);
    }

    private static void EndStatus(BlockRequest request, long added)
    {
        long head = added & ((1L << HeadBits) - 1);
        request.Offset += head;
        request.Length -= head + (added >> HeadBits);
        if (request.Error == 0 && request.StatusLength <= head)
        {
            // Less than a block was told about, and not what was asked about.
            request.Status = BlockStatus.Data;
            request.StatusLength = request.Length;
        }
        else
        {
            request.StatusLength = Math.Min(request.StatusLength - head, request.Length);
        }
    }

    /// <summary>End of a block, the last one's being the device's; written so that a device of 2^63-1 bytes can't overflow.</summary>
    private long BlockEnd(long block, long size) => size - block <= _block ? size : block + _block;

    private void Start(BlockRequest request)
    {
        if (_freeCount == 0)
        {
            _waiting.AddLast(request);
            return;
        }

        int index = _free[--_freeCount];
        Context context = _contexts[index];
        context.Parent = request;
        context.Error = 0;
        context.Size = Info.Size;

        long firstBlock = request.Offset - (request.Offset % _block);
        long lastBlock = (request.End - 1) - ((request.End - 1) % _block);
        bool partialHead = request.Offset != firstBlock;
        bool partialTail = request.End != BlockEnd(lastBlock, context.Size);
        if (firstBlock == lastBlock)
        {
            partialHead |= partialTail;
            partialTail = false;
        }

        context.Head = partialHead ? firstBlock : -1;
        context.Tail = partialTail ? lastBlock : -1;
        context.MiddleStart = partialHead ? Math.Min(BlockEnd(firstBlock, context.Size), request.End) : firstBlock;
        context.MiddleEnd = partialTail ? lastBlock : request.End;
        switch (request.Operation)
        {
            case BlockOperation.Read:
                context.Phase = Phase.Last;
                IssueBlocks(index, BlockOperation.Read, BlockRequestFlags.None);
                IssueMiddle(index);
                break;
            case BlockOperation.Write:
            case BlockOperation.WriteZeroes:
                context.Phase = Phase.ReadBlocks;
                IssueBlocks(index, BlockOperation.Read, BlockRequestFlags.None);
                break;
            case BlockOperation.Cache:
                context.MiddleStart = firstBlock;
                context.MiddleEnd = BlockEnd(lastBlock, context.Size);
                context.Phase = Phase.Last;
                IssueMiddle(index);
                break;
            default:
                // Advice may be rounded inwards: only whole blocks are given back.
                context.Phase = Phase.Last;
                IssueMiddle(index);
                break;
        }

        if (context.Outstanding == 0)
        {
            NextPhase(index);
        }
    }

    private void NextPhase(int index)
    {
        Context context = _contexts[index];
        BlockRequest parent = context.Parent!;
        if (context.Phase == Phase.ReadBlocks && context.Error == 0)
        {
            if (parent.IsAbandoned)
            {
                context.Error = BlockErrno.EINTR;
            }
            else
            {
                context.Phase = Phase.Last;
                PatchBlocks(context);
                IssueBlocks(index, BlockOperation.Write, parent.Flags & BlockRequestFlags.Fua);
                IssueMiddle(index);
                return;
            }
        }

        if (context.Error == 0 && parent.Operation == BlockOperation.Read)
        {
            CopyOut(context);
        }

        int error = context.Error;
        context.Parent = null;
        _free[_freeCount++] = index;
        parent.Complete(error);
        StartWaiting();
    }

    /// <summary>
    /// Gives free contexts to those that wait. A request that ends at once (an abandoned one) frees its context inside
    /// Start: a loop, because hundreds of them one inside the other would overflow the loop's small stack.
    /// </summary>
    private void StartWaiting()
    {
        if (_isStarting)
        {
            return;
        }

        _isStarting = true;
        while (_freeCount > 0 && _waiting.TryTakeFirst(out BlockRequest? next))
        {
            Start(next);
        }

        _isStarting = false;
    }

    private void IssueBlocks(int index, BlockOperation operation, BlockRequestFlags flags)
    {
        Context context = _contexts[index];
        IssueBlock(index, context.HeadRequest, context.Head, context.HeadBlock, operation, flags);
        IssueBlock(index, context.TailRequest, context.Tail, context.TailBlock, operation, flags);
    }

    private void IssueBlock(
        int index, BlockRequest request, long offset, Memory<byte> bounce, BlockOperation operation, BlockRequestFlags flags)
    {
        if (offset < 0)
        {
            return;
        }

        int length = (int)Math.Min(_block, _contexts[index].Size - offset);
        request.Reset();
        request.Parent = _contexts[index].Parent;
        request.Operation = operation;
        request.Flags = flags;
        request.Offset = offset;
        request.Length = length;
        request.Buffer = bounce[..length];
        Issue(index, request);
    }

    private void IssueMiddle(int index)
    {
        Context context = _contexts[index];
        if (context.MiddleStart >= context.MiddleEnd)
        {
            return;
        }

        BlockRequest parent = context.Parent!;
        BlockRequest request = context.MiddleRequest;
        request.Reset();
        request.Parent = parent;
        request.Operation = parent.Operation;
        request.Flags = parent.Flags;
        request.Offset = context.MiddleStart;
        request.Length = context.MiddleEnd - context.MiddleStart;
        if (parent.Operation is BlockOperation.Read or BlockOperation.Write)
        {
            request.Buffer = parent.Buffer.Slice((int)(context.MiddleStart - parent.Offset), (int)request.Length);
        }

        Issue(index, request);
    }

    private void Issue(int index, BlockRequest request)
    {
        _contexts[index].Outstanding++;
        request.Push(this, index);
        _lower.Submit(request);
    }

    private void PatchBlocks(Context context)
    {
        PatchBlock(context, context.Head, context.HeadBlock.Span);
        PatchBlock(context, context.Tail, context.TailBlock.Span);
    }

    private void PatchBlock(Context context, long block, Span<byte> bounce)
    {
        if (block < 0)
        {
            return;
        }

        BlockRequest parent = context.Parent!;
        long start = Math.Max(block, parent.Offset);
        long end = Math.Min(BlockEnd(block, context.Size), parent.End);
        Span<byte> target = bounce[(int)(start - block)..(int)(end - block)];
        if (parent.Operation == BlockOperation.Write)
        {
            parent.Buffer.Span[(int)(start - parent.Offset)..(int)(end - parent.Offset)].CopyTo(target);
        }
        else
        {
            target.Clear();
        }
    }

    private void CopyOut(Context context)
    {
        CopyBlockOut(context, context.Head, context.HeadBlock.Span);
        CopyBlockOut(context, context.Tail, context.TailBlock.Span);
    }

    private void CopyBlockOut(Context context, long block, Span<byte> bounce)
    {
        if (block < 0)
        {
            return;
        }

        BlockRequest parent = context.Parent!;
        long start = Math.Max(block, parent.Offset);
        long end = Math.Min(BlockEnd(block, context.Size), parent.End);
        bounce[(int)(start - block)..(int)(end - block)]
            .CopyTo(parent.Buffer.Span[(int)(start - parent.Offset)..]);
    }

    private enum Phase
    {
        ReadBlocks,
        Last,
    }

    private sealed class Context(ReadyList ready, int block)
    {
        public BlockRequest HeadRequest { get; } = new(ready, 0);

        public BlockRequest MiddleRequest { get; } = new(ready, 1);

        public BlockRequest TailRequest { get; } = new(ready, 2);

        public Memory<byte> HeadBlock { get; } = GC.AllocateUninitializedArray<byte>(block, pinned: true);

        public Memory<byte> TailBlock { get; } = GC.AllocateUninitializedArray<byte>(block, pinned: true);

        public BlockRequest? Parent { get; set; }

        public long Head { get; set; }

        public long Tail { get; set; }

        public long MiddleStart { get; set; }

        public long MiddleEnd { get; set; }

        public Phase Phase { get; set; }

        /// <summary>Size of the device at the start: it may grow, and the last block that was read was as long as it was.</summary>
        public long Size { get; set; }

        public int Outstanding { get; set; }

        public int Error { get; set; }
    }
}
