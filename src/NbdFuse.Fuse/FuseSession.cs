using Microsoft.Extensions.Logging;
using NbdFuse.Block;
using NbdFuse.Native;

namespace NbdFuse.Fuse;

/// <summary>
/// One mounted file: takes the kernel's requests from /dev/fuse, turns those for data into block requests, and answers.
/// </summary>
/// <remarks>
/// OWNERSHIP: loop, descriptor, queue and buffers belong to the caller. Descriptor and buffers must live until the session
/// has ended (<see cref="Completion"/>) and the queue is idle: requests in flight end later than the session.
/// THREADING: runs on the loop's thread. Constructor, <see cref="Start"/>, <see cref="BeginDrain"/>, <see cref="Abort"/> and
/// <see cref="Completion"/> may be used from any thread; <see cref="TryDeliver"/> and
/// <see cref="TryDeliverFromPipe"/> run wherever a payload arrived and touch nothing of the session that changes.
/// </remarks>
public sealed partial class FuseSession : IEventHandler, ITurnHook, ITimerTarget, IBlockCompletion, IPayloadSink
{
    private const int MaximumReplyPieces = 64;

    private readonly EventLoop _loop;
    private readonly FileDescriptor _device;
    private readonly int _fd;
    private readonly RequestQueue _queue;
    private readonly FuseBuffers _buffers;
    private readonly FuseSessionOptions _options;
    private readonly ILogger _logger;
    private long _size;
    private readonly bool _readOnly;
    private readonly FuseRequestState[] _states;
    private readonly FuseBufferTrimmer _trimmer;

    // Header and payload of an answer from memory of others. Its finalizer frees it.
    private readonly IoVectorList _replyPieces = new(MaximumReplyPieces);
    private readonly TaskCompletionSource<FuseSessionEnd> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private FuseNegotiation? _negotiation;
    private FuseSessionEnd? _end;
    private volatile bool _ended;
    private long _failedReplies;

    /// <summary>Makes a session; nothing happens before <see cref="Start"/>.</summary>
    /// <param name="loop">Loop of the data plane.</param>
    /// <param name="device">/dev/fuse, mounted, nonblocking.</param>
    /// <param name="queue">The queue before the device; used by this session only.</param>
    /// <param name="buffers">
    /// At least as many as the queue has slots; <see cref="SpareBuffers"/> more, and interrupts arrive when it is full.
    /// </param>
    /// <param name="options">Behaviour.</param>
    /// <param name="logger">Hears of what is rare.</param>
    public FuseSession(
        EventLoop loop, FileDescriptor device, RequestQueue queue, FuseBuffers buffers, FuseSessionOptions options, ILogger logger)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(buffers.Count, queue.Capacity);
        _loop = loop;
        _device = device;
        _fd = device.Value;
        _queue = queue;
        _buffers = buffers;
        _options = options;
        _logger = logger;
        _size = queue.Info.Size;
        _readOnly = queue.Info.IsReadOnly || options.Mount.IsReadOnly;
        _states = new FuseRequestState[queue.Capacity];
        _parked = new ParkedRequest[Math.Clamp(buffers.Count - queue.Capacity - 1, 0, MaximumParked)];
        _trimmer = new FuseBufferTrimmer(loop, buffers, options.TrimAfterMs);
        InitialiseNodes();
        TakeOver(options.SavedState);
    }

    /// <summary>Ends when the session has ended, with the reason. It never fails.</summary>
    public Task<FuseSessionEnd> Completion => _completion.Task;

    /// <summary>Ends when the kernel's INIT has been answered: the file is usable.</summary>
    public Task Ready => _ready.Task;

    /// <summary>What was agreed on with the kernel; null before INIT.</summary>
    public FuseNegotiation? Negotiation => Volatile.Read(ref _negotiation);

    /// <summary>
    /// Tells that the device behind the queue can't make progress (recovering): interrupted requests are then answered at
    /// once, whatever their age. Null means that it always can. Called on the loop's thread.
    /// </summary>
    public Func<bool>? IsStalled { get; set; }

    /// <summary>Answers that the kernel refused, other than those to requests that had gone. 0 unless something is wrong.</summary>
    public long FailedReplies => Interlocked.Read(ref _failedReplies);

    /// <summary>
    /// Whether writes have been acknowledged that no successful flush of this session covers. Writes in flight do not count
    /// yet. May be asked on any thread.
    /// </summary>
    public bool HasUnflushedWrites => Volatile.Read(ref _writes) != Volatile.Read(ref _flushedWrites);

    /// <summary>Begins to serve.</summary>
    public void Start() => OnLoop(StartOnLoop);

    /// <summary>Begins to take requests from the kernel, in a session that was started with <see cref="FuseSessionOptions.Hold"/>.</summary>
    public void BeginReading() => OnLoop(BeginReadingOnLoop);

    /// <summary>
    /// Stops taking requests from the kernel, answers those that were taken, then ends (<see cref="FuseEndReason.Drained"/>).
    /// The mount stays, and whoever holds the descriptor can go on.
    /// </summary>
    public void BeginDrain() => OnLoop(BeginDrainOnLoop);

    /// <summary>
    /// Ends at once: every request in flight is answered with an error, and their ends are waited for by nobody.
    /// </summary>
    /// <param name="error">Linux errno for them, positive, 1 to 511.</param>
    public void Abort(int error) => OnLoop(() => AbortOnLoop(error));

    private void OnLoop(Action action)
    {
        if (_loop.IsLoopThread)
        {
            action();
        }
        else
        {
            _loop.Post(action);
        }
    }

    private void End(FuseEndReason reason, int error, string message)
    {
        if (_end is not null)
        {
            return;
        }

        _end = new FuseSessionEnd(reason, error, message);
        _ended = true;
        DropParked();
        if (_started)
        {
            _loop.Remove(_fd);
            _loop.Cancel(this);
            _trimmer.Stop();
        }

        LogEnded(_logger, message);
        _completion.TrySetResult(_end);
    }

    [LoggerMessage(Level = LogLevel.Debug, Message = "FUSE session ended: {Reason}")]
    private static partial void LogEnded(ILogger logger, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "the kernel sent a FUSE request that makes no sense: opcode {Opcode}, {Length} bytes")]
    private static partial void LogMalformed(ILogger logger, uint opcode, int length);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Count} requests have waited for the server for {Seconds} s (--request-timeout): {Then}")]
    private static partial void LogOverdue(ILogger logger, int count, double seconds, string then);

    [LoggerMessage(Level = LogLevel.Warning, Message = "the kernel refused an answer to a FUSE request: errno {Errno}")]
    private static partial void LogRefused(ILogger logger, int errno);
}
