using System.Runtime.CompilerServices;

namespace NbdFuse.Block;

/// <summary>
/// One request to a block device: a plain, preallocated object in its slot, used again and again. It carries the
/// stack of those who want to see it completed, so that a layer needs no object of its own per request.
/// </summary>
/// <remarks>
/// OWNERSHIP: a request belongs to whoever it was submitted to, until <see cref="Complete"/>. The memory of
/// <see cref="Buffer"/> belongs to the front end or layer that made the request and stays valid, unread and
/// unwritten by it, until the completion has been seen.
/// THREADING: the loop's thread only, except <see cref="TryClaimAnswer"/> and <see cref="Error"/> of a request that
/// was handed to a mover: its mailbox orders the accesses.
/// </remarks>
public sealed class BlockRequest
{
    /// <summary>How many levels (queue, layers) may stack over one device.</summary>
    public const int MaximumDepth = 12;

    private readonly ReadyList _ready;
    private Frames _frames;
    private int _depth;
    private int _answered;
    private bool _completing;

    /// <summary>Makes a request for the slot <paramref name="tag"/>. Done once, when the slots are made.</summary>
    /// <param name="ready">Ready list of the loop on which completions run.</param>
    /// <param name="tag">Number of the slot, 0 or more.</param>
    public BlockRequest(ReadyList ready, int tag)
    {
        _ready = ready;
        Tag = tag;
    }

    /// <summary>Number of the slot.</summary>
    public int Tag { get; }

    /// <summary>What is asked.</summary>
    public BlockOperation Operation { get; set; }

    /// <summary>Modifiers.</summary>
    public BlockRequestFlags Flags { get; set; }

    /// <summary>First byte of the range. 0 for Flush.</summary>
    public long Offset { get; set; }

    /// <summary>Bytes of the range. 0 for Flush.</summary>
    public long Length { get; set; }

    /// <summary>Payload of a Read (filled on success) or Write: exactly <see cref="Length"/> bytes. Else empty.</summary>
    public Memory<byte> Buffer { get; set; }

    /// <summary>Answer to a BlockStatus: bytes from the offset on that are of one status; 1 to <see cref="Length"/>.</summary>
    public long StatusLength { get; set; }

    /// <summary>Answer to a BlockStatus.</summary>
    public BlockStatus Status { get; set; }

    /// <summary>Linux errno of the completed request, positive; 0 on success.</summary>
    public int Error { get; private set; }

    /// <summary>The front end's shortcut for the payload of a Read, or null: deliver through the buffer.</summary>
    public IPayloadSink? Sink { get; set; }

    /// <summary>
    /// The front end's own number for the request (the FUSE unique, the ublk tag). Devices don't look at it.
    /// </summary>
    public ulong Token { get; set; }

    /// <summary>Whoever must hear of the end: the front end, or the layer that made the request.</summary>
    public IBlockCompletion? Owner { get; set; }

    /// <summary>For the owner's use.</summary>
    public object? OwnerState { get; set; }

    /// <summary>
    /// The caller has been answered without this request having ended (interrupt): a request that has not been sent
    /// yet is withdrawn, one that has been sent is drained and forgotten.
    /// </summary>
    public bool IsAbandoned { get => field || Parent is { IsAbandoned: true }; set; }

    /// <summary>The request on whose behalf a layer made this one, or null: who abandons that one abandons its parts.</summary>
    public BlockRequest? Parent { get; set; }

    /// <summary>The payload of this Read reached its caller through <see cref="Sink"/>.</summary>
    public bool IsDelivered { get; set; }

    /// <summary>
    /// How a helper thread ended this request, as an errno, on its way back to the loop that calls
    /// <see cref="Complete"/>.
    /// </summary>
    public int TransferError { get; set; }

    /// <summary>
    /// For the device at the bottom, from its Submit to Complete: the place in the order of submission. Not cleared by Reset.
    /// </summary>
    public long DeviceOrder { get; set; }

    /// <summary>For the device at the bottom, from its Submit to Complete: what a FLUSH covers, or what else it notes.</summary>
    public long DeviceMark { get; set; }

    /// <summary>For the device at the bottom, from its Submit to Complete: flags of its own.</summary>
    public int DeviceState { get; set; }

    /// <summary>Monotonic milliseconds at which the request entered the queue.</summary>
    public long StartedMs { get; set; }

    /// <summary>First byte after the range.</summary>
    public long End => Offset + Length;

    /// <summary>True for the operations that change content: Write, Trim, WriteZeroes.</summary>
    public bool IsMutating => Operation is BlockOperation.Write or BlockOperation.Trim or BlockOperation.WriteZeroes;

    /// <summary>Ticks of <see cref="System.Diagnostics.Stopwatch"/> at which the request entered the queue, for its latency.</summary>
    internal long StartedTicks { get; set; }

    internal BlockRequest? Next { get; set; }

    internal bool IsListed { get; set; }

    /// <summary>The slot is out of its queue's free list.</summary>
    internal bool IsRented { get; set; }

    /// <summary>The request is under way below the level that submitted it.</summary>
    internal bool IsInFlight => _depth != 0 || IsListed;

    /// <summary>Puts a level on the completion stack; it sees the request before the levels above.</summary>
    /// <param name="level">The level.</param>
    /// <param name="state">A number that the level gets back.</param>
    /// <exception cref="InvalidOperationException">More than <see cref="MaximumDepth"/> levels.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Push(IBlockCompletion level, long state = 0)
    {
        if (_depth == MaximumDepth)
        {
            throw new InvalidOperationException($"More than {MaximumDepth} levels stand over one device.");
        }

        ref Frame frame = ref _frames[_depth++];
        frame.Level = level;
        frame.State = state;
    }

    /// <summary>
    /// Ends the request for the levels below the top of the stack. The completion runs from the ready list, not here.
    /// </summary>
    /// <param name="error">Linux errno, positive; 0 on success.</param>
    /// <exception cref="InvalidOperationException">The request has ended already: a request ends exactly once.</exception>
    public void Complete(int error)
    {
        if (_completing || _depth == 0)
        {
            throw new InvalidOperationException("A request ended twice.");
        }

        _completing = true;
        Error = error;
        _ready.Add(this);
    }

    /// <summary>
    /// Claims the right to answer the caller. The first claim wins, on whatever thread; everybody else drops its answer.
    /// </summary>
    /// <returns>True for the first caller only.</returns>
    public bool TryClaimAnswer() => Interlocked.CompareExchange(ref _answered, 1, 0) == 0;

    /// <summary>Makes the slot ready for its next request.</summary>
    /// <exception cref="InvalidOperationException">The request has not ended.</exception>
    public void Reset()
    {
        if (IsInFlight)
        {
            throw new InvalidOperationException("A slot was reused before its request had ended.");
        }

        Operation = BlockOperation.Read;
        Flags = BlockRequestFlags.None;
        Offset = 0;
        Length = 0;
        Buffer = default;
        StatusLength = 0;
        Status = BlockStatus.Data;
        Error = 0;
        Sink = null;
        Token = 0;
        Owner = null;
        OwnerState = null;
        Parent = null;
        IsAbandoned = false;
        IsDelivered = false;
        StartedMs = 0;
        _answered = 0;
    }

    /// <summary>Hands the ended request from level to level, upwards, until one keeps it.</summary>
    internal void Unwind()
    {
        while (_depth > 0)
        {
            ref Frame frame = ref _frames[--_depth];
            IBlockCompletion level = frame.Level!;
            long state = frame.State;
            frame.Level = null;
            _completing = false;
            if (!level.OnCompleted(this, state))
            {
                return;
            }
        }
    }

    /// <summary>Replaces the error while the request unwinds.</summary>
    /// <param name="error">Linux errno, positive; 0 on success.</param>
    public void SetError(int error) => Error = error;

    private struct Frame
    {
        public IBlockCompletion? Level;
        public long State;
    }

    [InlineArray(MaximumDepth)]
    private struct Frames
    {
        private Frame _first;
    }
}
