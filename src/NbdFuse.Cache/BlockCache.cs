using NbdFuse.Block;

namespace NbdFuse.Cache;

/// <summary>
/// Keeps granules of 4 KiB that are read again and again in memory, and reads ahead of readers that go in order: a layer over
/// the whole stack of layers, directly below the <see cref="RequestQueue"/>.
/// </summary>
/// <remarks>
/// COHERENCE: write-through. A granule in memory that is valid equals what the device shows to whoever reads it now:
/// <list type="bullet">
/// <item>From the moment when a write, trim or zeroing is passed down until it has ended, no granule and no segment of its
/// range is valid, and every read that was under way to fill one is tainted: it still serves those who had asked before, but
/// is not kept. Reads of the range go down and see old or new. That holds for abandoned writes too, until they are drained.</item>
/// <item>A write that ended well puts its data into the granules that were there, unless another one overlapped it meanwhile: then,
/// and after a failure, they leave.</item>
/// <item>What goes down, for whatever reason, is never older than what is in memory. So a read of which a part is in memory
/// may go down whole, and long reads may pass by.</item>
/// </list>
/// Errors are never kept. A read that was widened or joined to another and failed goes down once more with its exact range.
/// THREADING: the loop's thread only, but for <see cref="Statistics"/>. Nothing is locked, and nothing is allocated per request.
/// </remarks>
public sealed partial class BlockCache : IBlockDevice, IBlockCompletion, IRequestWithdrawal
{
    private const int Granule = CacheMemoryLayout.Granule;
    private const int GranuleShift = CacheMemoryLayout.GranuleShift;

    // Reads of the cache's own for callers that wait. When all are in use a read passes by: nobody waits for one.
    private const int Fills = 256;

    // Kind of a level's state: what the cache put on the stack of a request that comes back.
    private const long KindShift = 32;
    private const long FillKind = 1L << (int)KindShift;
    private const long SegmentKind = 2L << (int)KindShift;
    private const long MutationKind = 3L << (int)KindShift;
    private const long BypassKind = 4L << (int)KindShift;
    private const long PieceKind = 5L << (int)KindShift;

    private readonly IBlockDevice _lower;
    private readonly ICacheMemory _memory;
    private readonly CacheMemoryLayout _layout;
    private readonly TimeProvider _clock;
    private readonly double _ticksPerMicrosecond;
    private long _size;
    private readonly int _bypassBytes;
    private readonly GranuleStore? _store;
    private readonly bool _onlyPrefetches;
    private readonly long _aroundAbove;
    private bool _isSuspended;

    /// <summary>Makes an empty cache.</summary>
    /// <param name="lower">Top of the stack of layers; takes ranges that begin and end at multiples of 4096.</param>
    /// <param name="ready">Ready list of the loop.</param>
    /// <param name="options">Sizes.</param>
    /// <param name="memory">At least <see cref="BlockCacheOptions.MemoryBytes"/>; the cache's own from here on.</param>
    /// <exception cref="ArgumentException">
    /// The memory is too small, or the device below takes larger blocks only, or the trace is of a device of another size.
    /// </exception>
    /// <exception cref="ArgumentOutOfRangeException">A size is out of range.</exception>
    public BlockCache(IBlockDevice lower, ReadyList ready, BlockCacheOptions options, ICacheMemory memory)
    {
        _layout = CacheMemoryLayout.Of(options);
        if (memory.Length < _layout.Total)
        {
            throw new ArgumentException($"The cache needs {_layout.Total} bytes of memory, not {memory.Length}.", nameof(memory));
        }

        BlockDeviceInfo info = lower.Info;
        if (!Fits(info))
        {
            throw new ArgumentException($"The device below must take blocks of {Granule} bytes.", nameof(lower));
        }

        _lower = lower;
        _memory = memory;
        _clock = options.Clock;
        _ticksPerMicrosecond = _clock.TimestampFrequency / 1e6;
        _size = info.Size;
        _bypassBytes = Math.Min(options.BypassBytes, Floor(info.MaximumPayload) - Granule);
        _store = _layout.Slots > 0 ? new GranuleStore(_layout.Slots) : null;
        _onlyPrefetches = _layout.Slots == 0 && _layout.Segments == 0;
        _aroundAbove = _layout.Segments > 0 ? options.AroundAboveMicroseconds ?? long.MaxValue : long.MaxValue;
        _freePieces = new int[_layout.Pieces];
        _rangeOfPiece = new int[_layout.Pieces];
        _fills = MakeFills(ready);

        // The layer that cuts long requests hides what the server takes; reading ahead must not depend on its few contexts.
        int payload = Math.Min(info.MaximumPayload, Math.Max(Granule, options.MaximumPayload));
        int largest = 1 << System.Numerics.BitOperations.Log2((uint)payload);
        _segments = MakeSegments(ready, Math.Min(_layout.SegmentBytes, largest));
        _segmentRanges = new RangeTable(Math.Max(1, _segments.Length));
        _planner = _layout.Segments == 0
            ? null
            : new ReadAheadPlanner(_size, _segments[0].Memory.Length, (long)_layout.Segments * _segments[0].Memory.Length);
        if (options.Prefetch is { } trace)
        {
            if (trace.Size != _size)
            {
                throw new ArgumentException($"The trace is of a device of {trace.Size} bytes, and this one has {_size}.", nameof(options));
            }

            _held = new PrefetchStore(_layout.PrefetchSlots);
            _plan = new PrefetchPlan(trace);
            _lastUse = _clock.GetTimestamp();
            _isPrefetching = true;
        }
    }

    /// <inheritdoc/>
    public BlockDeviceInfo Info => _lower.Info;

    /// <summary>Counters.</summary>
    public BlockCacheStatistics Statistics { get; } = new();

    /// <summary>Requests of its own that are below: reads for callers, and ahead of them.</summary>
    internal int OwnRequests => Fills - _freeFillCount + _segmentsInFlight + PiecesInFlight;

    /// <summary>Whether a device takes blocks as small as what the cache keeps as one piece, and payloads as large.</summary>
    /// <param name="device">The device.</param>
    public static bool Fits(BlockDeviceInfo device) => device is { MinimumBlock: <= Granule, MaximumPayload: >= Granule };

    /// <inheritdoc/>
    public void Submit(BlockRequest request)
    {
        if (request.Operation == BlockOperation.Read && !_isSuspended)
        {
            Read(request);
        }
        else if (request.IsMutating && !Info.IsReadOnly)
        {
            Mutate(request);
        }
        else
        {
            _lower.Submit(request);
        }
    }

    /// <inheritdoc/>
    public void EndTurn()
    {
        if (_planner is { HasWork: true } && !_isSuspended)
        {
            // After all the reads of this turn: what is asked for goes before what may be asked for.
            ReadAhead(_planner);
        }

        if (_isPrefetching)
        {
            Prefetch(_plan!);
        }

        _lower.EndTurn();
    }

    /// <inheritdoc/>
    public void AdoptSize()
    {
        _lower.AdoptSize();
        if (Info.Size > _size)
        {
            // What is in memory of the last granule, or on its way there, ends where the device ended.
            Clear();
            _size = Info.Size;
            _planner?.Grow(_size);
        }
    }

    /// <inheritdoc/>
    public bool TryWithdraw(BlockRequest request)
    {
        if (request.Operation == BlockOperation.Read)
        {
            if (RemoveWaiter(request))
            {
                // It has lent its buffer to nobody, so nothing will be written there any more.
                request.Complete(BlockErrno.EINTR);
                return true;
            }

            Fill? fill = FindLoan(request);
            if (fill is not null)
            {
                return TryGiveUp(fill);
            }
        }

        return _lower is IRequestWithdrawal lower && lower.TryWithdraw(request);
    }

    /// <summary>
    /// Forgets all content, also what is under way: for a device that may show another one's content from now on.
    /// </summary>
    public void Clear()
    {
        _store?.Clear();
        _held?.Clear();
        Taint(0, _size);
        DropSegments(0, _size);
        UpdateHeld();
    }

    /// <summary>
    /// Forgets all content, and answers nothing from memory from now on: the device has failed, and whoever asks must hear so.
    /// </summary>
    public void Suspend()
    {
        _isSuspended = true;
        Clear();
        if (_isPrefetching)
        {
            EndPrefetch();
        }
    }

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        int id = (int)state;
        switch (state & ~0xffffffffL)
        {
            case FillKind:
                FillEnded(_fills[id]);
                return false;
            case SegmentKind:
                SegmentEnded(_segments[id]);
                return false;
            case PieceKind:
                PieceEnded(_segments[id]);
                return false;
            case MutationKind:
                MutationEnded(request, id);
                return true;
            default:
                BypassEnded(request, id);
                return true;
        }
    }

    private static int Floor(int bytes) => bytes & ~(Granule - 1);

    private static long Floor(long offset) => offset & ~(long)(Granule - 1);

    /// <summary>End of the granule that an offset lies in; the last one of the device may be shorter than the others.</summary>
    private long GranuleEnd(long offset)
    {
        long start = Floor(offset);
        return _size - start <= Granule ? _size : start + Granule;
    }

    private Span<byte> Slot(int slot, int length) => _memory.Span((long)slot << GranuleShift, length);

    private void UpdateHeld()
    {
        BlockCacheStatistics statistics = Statistics;
        statistics.HeldBytes = ((long)((_store?.Count ?? 0) + (_held?.Count ?? 0)) << GranuleShift) + _segmentBytes;
        statistics.Evictions = _store?.Evictions ?? 0;
        statistics.Rejections = _store?.Rejections ?? 0;
    }
}
