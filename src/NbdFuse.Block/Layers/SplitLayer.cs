namespace NbdFuse.Block.Layers;

/// <summary>
/// Cuts requests that are longer than the device takes into pieces, a few of them in flight at a time.
/// </summary>
/// <remarks>
/// A TRIM, WRITE_ZEROES or CACHE that the server finds too long all the same (EOVERFLOW, or EINVAL above the maximum
/// payload: NBD spec, "Size constraints") is tried again in smaller pieces; the limit found is kept.
/// Every context owns its pieces, so that a request that has started never waits for another one's.
/// THREADING: the loop's thread only.
/// </remarks>
public sealed class SplitLayer : IBlockDevice, IBlockCompletion
{
    private const int Contexts = 16;
    private const int PiecesPerContext = 4;
    private const long SmallestZeroes = 1 << 20;
    private const long WholeRequest = -1;
    private readonly IBlockDevice _lower;
    private readonly Context[] _contexts = new Context[Contexts];
    private readonly int[] _free = new int[Contexts];
    private int _freeCount = Contexts;
    private readonly long _smallestZeroes;
    private long _maximumZeroes;
    private long _maximumTrim;
    private BlockRequestList _waiting;
    private bool _isStarting;

    /// <summary>Makes the layer.</summary>
    /// <param name="lower">The device below; its limits are obeyed.</param>
    /// <param name="ready">Ready list of the loop.</param>
    public SplitLayer(IBlockDevice lower, ReadyList ready)
    {
        _lower = lower;
        _maximumZeroes = lower.Info.MaximumZeroes;
        _maximumTrim = lower.Info.MaximumTrim;
        _smallestZeroes = Math.Min(SmallestZeroes, lower.Info.MaximumPayload);
        Info = lower.Info with { MaximumPayload = int.MaxValue, MaximumZeroes = long.MaxValue, MaximumTrim = long.MaxValue };
        for (int i = 0; i < Contexts; i++)
        {
            _contexts[i] = new Context(ready);
            _free[i] = i;
        }
    }

    /// <inheritdoc/>
    public BlockDeviceInfo Info { get; private set; }

    /// <inheritdoc/>
    public void Submit(BlockRequest request)
    {
        if (request.Operation == BlockOperation.BlockStatus)
        {
            // The answer may be about less than was asked.
            _lower.Submit(request);
            return;
        }

        if (HasPayload(request))
        {
            if (request.Length <= _lower.Info.MaximumPayload)
            {
                _lower.Submit(request);
                return;
            }
        }
        else if (request.Length <= LimitOf(request.Operation))
        {
            if (request.Length > _smallestZeroes)
            {
                request.Push(this, WholeRequest);
            }

            _lower.Submit(request);
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
        if (state == WholeRequest)
        {
            if (!IsTooLong(request))
            {
                return true;
            }

            LowerLimit(request.Length);
            Start(request);
            return false;
        }

        Context context = _contexts[state];
        context.Outstanding--;
        if (IsTooLong(request))
        {
            LowerLimit(request.Length);
            context.Next = request.Offset;
        }
        else if (request.Error != 0 && context.Error == 0)
        {
            context.Error = request.Error;
        }

        context.Give(request);
        Continue((int)state);
        return false;
    }

    private static bool HasPayload(BlockRequest request) =>
        request.Operation is BlockOperation.Read or BlockOperation.Write;

    private bool IsTooLong(BlockRequest request) =>
        !HasPayload(request) && request.Length > _smallestZeroes
        && (request.Error == BlockErrno.EOVERFLOW
            || (request.Error == BlockErrno.EINVAL && request.Length > _lower.Info.MaximumPayload));

    private long LimitOf(BlockOperation operation) => operation == BlockOperation.Trim ? _maximumTrim : _maximumZeroes;

    private void LowerLimit(long failedLength)
    {
        long half = Math.Max(failedLength / 2, _smallestZeroes);
        half -= half % _lower.Info.MinimumBlock;
        _maximumZeroes = Math.Min(_maximumZeroes, half);
        _maximumTrim = Math.Min(_maximumTrim, half);
    }

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
        context.Next = request.Offset;
        context.Error = 0;
        Continue(index);
    }

    private void Continue(int index)
    {
        Context context = _contexts[index];
        BlockRequest parent = context.Parent!;
        bool payload = HasPayload(parent);

        // Pieces without a payload go one after the other, so that one that is too long can be cut again.
        int parallel = payload ? PiecesPerContext : 1;
        long limit = payload ? _lower.Info.MaximumPayload : LimitOf(parent.Operation);
        while (context.Outstanding < parallel && context.Error == 0 && context.Next < parent.End && !parent.IsAbandoned)
        {
            BlockRequest piece = context.Take();
            long length = Math.Min(limit, parent.End - context.Next);
            piece.Parent = parent;
            piece.Operation = parent.Operation;
            piece.Flags = parent.Flags;
            piece.Offset = context.Next;
            piece.Length = length;
            if (payload)
            {
                piece.Buffer = parent.Buffer.Slice((int)(context.Next - parent.Offset), (int)length);
            }

            context.Next += length;
            context.Outstanding++;
            piece.Push(this, index);
            _lower.Submit(piece);
        }

        if (context.Outstanding > 0)
        {
            return;
        }

        int error = context.Error != 0 || context.Next >= parent.End ? context.Error : BlockErrno.EINTR;
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

    private sealed class Context
    {
        private readonly BlockRequest[] _pieces = new BlockRequest[PiecesPerContext];
        private int _count = PiecesPerContext;

        public Context(ReadyList ready)
        {
            for (int i = 0; i < PiecesPerContext; i++)
            {
                _pieces[i] = new BlockRequest(ready, i);
            }
        }

        public BlockRequest? Parent { get; set; }

        public long Next { get; set; }

        public int Outstanding { get; set; }

        public int Error { get; set; }

        public BlockRequest Take()
        {
            BlockRequest piece = _pieces[--_count];
            piece.Reset();
            return piece;
        }

        public void Give(BlockRequest piece) => _pieces[_count++] = piece;
    }
}
