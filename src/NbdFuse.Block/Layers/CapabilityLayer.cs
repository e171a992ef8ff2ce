namespace NbdFuse.Block.Layers;

/// <summary>
/// Offers what the device below lacks: FUA by a FLUSH behind the write, zeroes by writing them, FLUSH where there is
/// nothing to flush; and refuses with the right errno what can't be offered.
/// </summary>
/// <remarks>
/// A command or flag that the export did not advertise must never be sent (NBD spec, transmission flags).
/// WRITE_ZEROES without the capability: a hole can't be promised, so without <see cref="BlockRequestFlags.NoHole"/> it
/// is EOPNOTSUPP; with it, zeroes are written.
/// THREADING: the loop's thread only. Flags are tested by mask: until the JIT optimizes, HasFlag boxes both enums.
/// </remarks>
public sealed class CapabilityLayer : IBlockDevice, IBlockCompletion
{
    private const int Contexts = 16;
    private const int ZeroBytes = 1 << 20;
    private const long FuaBelow = -1;
    private const long FastZeroBelow = -2;
    private readonly IBlockDevice _lower;
    private readonly BlockDeviceInfo _info;
    private readonly Context[] _contexts = new Context[Contexts];
    private readonly int[] _free = new int[Contexts];
    private readonly Memory<byte> _zeroes;
    private int _freeCount = Contexts;
    private BlockRequestList _waiting;
    private bool _isStarting;

    /// <summary>Makes the layer.</summary>
    /// <param name="lower">The device below; only what its info admits is sent to it.</param>
    /// <param name="ready">Ready list of the loop.</param>
    public CapabilityLayer(IBlockDevice lower, ReadyList ready)
    {
        _lower = lower;
        _info = lower.Info;
        Info = _info with
        {
            CanFlush = true,
            CanFua = !_info.IsReadOnly,
            CanWriteZeroes = !_info.IsReadOnly,
            CanFastZero = !_info.IsReadOnly,
            CanCache = true,
        };
        if (!_info.CanWriteZeroes && !_info.IsReadOnly)
        {
            // Pinned: its address goes into the vector of a send.
            _zeroes = GC.AllocateArray<byte>(ZeroBytes, pinned: true);
        }

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
        if (_info.IsReadOnly && request.IsMutating)
        {
            request.Complete(BlockErrno.EROFS);
            return;
        }

        switch (request.Operation)
        {
            case BlockOperation.Flush when !_info.CanFlush:
            case BlockOperation.Cache when !_info.CanCache:
                request.Complete(0);
                return;
            case BlockOperation.Trim when !_info.CanTrim:
                request.Complete(BlockErrno.EOPNOTSUPP);
                return;
            case BlockOperation.WriteZeroes when !_info.CanWriteZeroes:
                if ((request.Flags & BlockRequestFlags.NoHole) == 0)
                {
                    request.Complete(BlockErrno.EOPNOTSUPP);
                    return;
                }

                Start(request);
                return;
        }

        if (request.Operation == BlockOperation.WriteZeroes && (request.Flags & BlockRequestFlags.FastZero) != 0)
        {
            if (_info.CanFastZero)
            {
                request.Push(this, FastZeroBelow);
            }
            else
            {
                request.Flags &= ~BlockRequestFlags.FastZero;
            }
        }

        SubmitFua(request);
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
        switch (state)
        {
            case FuaBelow:
                request.Flags |= BlockRequestFlags.Fua;
                if (request.Error != 0 || !_info.CanFlush)
                {
                    return true;
                }

                Start(request);
                return false;
            case FastZeroBelow:
                if (request.Error != BlockErrno.EOPNOTSUPP)
                {
                    return true;
                }

                request.Flags &= ~BlockRequestFlags.FastZero;
                SubmitFua(request);
                return false;
            default:
                Context context = _contexts[state];
                if (request.Error != 0)
                {
                    context.Error = request.Error;
                }

                Continue((int)state);
                return false;
        }
    }

    private void SubmitFua(BlockRequest request)
    {
        if ((request.Flags & BlockRequestFlags.Fua) != 0 && !_info.CanFua)
        {
            request.Flags &= ~BlockRequestFlags.Fua;
            request.Push(this, FuaBelow);
        }

        _lower.Submit(request);
    }

    /// <summary>Runs a request through a context: zeroes by writing, or the FLUSH that stands in for FUA.</summary>
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
        context.Next = _info.CanWriteZeroes || request.Operation != BlockOperation.WriteZeroes
            ? request.End
            : request.Offset;
        context.NeedsFlush = (request.Flags & BlockRequestFlags.Fua) != 0 && !_info.CanFua && _info.CanFlush;
        Continue(index);
    }

    private void Continue(int index)
    {
        Context context = _contexts[index];
        BlockRequest parent = context.Parent!;
        if (context.Error == 0 && context.Next < parent.End && !parent.IsAbandoned)
        {
            BlockRequest child = context.Child;
            child.Reset();
            child.Parent = parent;
            child.Operation = BlockOperation.Write;
            child.Flags = _info.CanFua ? parent.Flags & BlockRequestFlags.Fua : BlockRequestFlags.None;
            child.Offset = context.Next;
            child.Length = Math.Min(parent.End - context.Next, ZeroBytes - (context.Next % ZeroBytes));
            child.Buffer = _zeroes[..(int)child.Length];
            context.Next += child.Length;
            child.Push(this, index);
            _lower.Submit(child);
            return;
        }

        if (context.Error == 0 && context.NeedsFlush)
        {
            context.NeedsFlush = false;
            BlockRequest child = context.Child;
            child.Reset();
            child.Parent = parent;
            child.Operation = BlockOperation.Flush;
            child.Push(this, index);
            _lower.Submit(child);
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

    private sealed class Context(ReadyList ready)
    {
        public BlockRequest Child { get; } = new(ready, 0);

        public BlockRequest? Parent { get; set; }

        public long Next { get; set; }

        public int Error { get; set; }

        public bool NeedsFlush { get; set; }
    }
}
