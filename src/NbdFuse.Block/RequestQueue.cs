using System.Diagnostics.CodeAnalysis;

namespace NbdFuse.Block;

/// <summary>
/// The bounded queue between a front end and its device: every request of the front end lives in one of its slots
/// from the moment it is decoded until its caller has been answered. It is what statistics count, what a disconnect
/// keeps, and what a shutdown drains.
/// </summary>
/// <remarks>
/// Bounded in requests and in bytes: when it is full the front end stops taking requests and the kernel waits.
/// Requests that layers make for themselves have reserves of their own, so that nothing waits here for a slot while
/// it holds one.
/// THREADING: the loop's thread only, but for <see cref="Statistics"/>.
/// </remarks>
public sealed class RequestQueue : IBlockCompletion
{
    private readonly IBlockDevice _device;
    private readonly BlockRequest[] _slots;
    private readonly BlockRequest[] _free;
    private readonly long _bytes;
    private int _freeCount;
    private long _bytesInFlight;
    private bool _wantsRoom;
    private long _fullSince;

    private TurnClock _clock;

    /// <summary>Makes the queue and all of its slots.</summary>
    /// <param name="device">Top of the stack of layers.</param>
    /// <param name="ready">Ready list of the loop.</param>
    /// <param name="options">Bounds.</param>
    /// <exception cref="ArgumentOutOfRangeException">A bound is out of range.</exception>
    public RequestQueue(IBlockDevice device, ReadyList ready, RequestQueueOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Capacity, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Capacity, 4096);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Bytes, 1);
        _device = device;
        Ready = ready;
        _bytes = options.Bytes;
        _slots = new BlockRequest[options.Capacity];
        _free = new BlockRequest[options.Capacity];
        for (int tag = 0; tag < _slots.Length; tag++)
        {
            _slots[tag] = new BlockRequest(ready, tag);

            // Last in, first out, lowest tag first: few slots, and with them few buffers, stay warm.
            _free[_slots.Length - 1 - tag] = _slots[tag];
        }

        _freeCount = _slots.Length;
    }

    /// <summary>What the device is and can do.</summary>
    public BlockDeviceInfo Info => _device.Info;

    /// <summary>Counters.</summary>
    public RequestQueueStatistics Statistics { get; } = new();

    /// <summary>Most requests in flight.</summary>
    public int Capacity => _slots.Length;

    /// <summary>Requests in flight, abandoned ones that are not drained yet included.</summary>
    public int InFlight => _slots.Length - _freeCount;

    /// <summary>Payload bytes in flight.</summary>
    public long BytesInFlight => _bytesInFlight;

    /// <summary>True when nothing is in flight.</summary>
    public bool IsIdle => InFlight == 0;

    /// <summary>Called, on the loop, when a slot or bytes came free after <see cref="HasRoom"/> had said no.</summary>
    public Action? RoomMade { get; set; }

    /// <summary>Called, on the loop, when the last request in flight has ended.</summary>
    public Action? Drained { get; set; }

    /// <summary>Ready list of the loop.</summary>
    public ReadyList Ready { get; }

    /// <summary>Tells whether a request with this much payload may start now.</summary>
    /// <param name="payloadBytes">Bytes of payload, 0 or more.</param>
    /// <returns>False when the queue is full; <see cref="RoomMade"/> follows.</returns>
    public bool HasRoom(long payloadBytes)
    {
        if (_freeCount > 0 && (_bytesInFlight == 0 || _bytesInFlight + payloadBytes <= _bytes))
        {
            return true;
        }

        NoteFull();
        return false;
    }

    /// <summary>Takes a slot, cleared for a new request.</summary>
    /// <param name="request">The slot.</param>
    /// <returns>False when none is free.</returns>
    public bool TryRent([NotNullWhen(true)] out BlockRequest? request)
    {
        if (_freeCount == 0)
        {
            NoteFull();
            request = null;
            return false;
        }

        request = _free[--_freeCount];
        request.Reset();
        request.IsRented = true;
        int inFlight = InFlight;
        if (inFlight > Statistics.PeakInFlight)
        {
            Statistics.PeakInFlight = inFlight;
        }

        return true;
    }

    /// <summary>
    /// Starts a rented request. Its owner hears of its end by <see cref="IBlockCompletion.OnCompleted"/> and then gives
    /// the slot back with <see cref="Return"/>.
    /// </summary>
    /// <param name="request">A rented request, with <see cref="BlockRequest.Owner"/> set and its range inside the device.</param>
    /// <param name="nowMs">Monotonic milliseconds.</param>
    public void Submit(BlockRequest request, long nowMs)
    {
        request.StartedMs = nowMs;
        request.StartedTicks = _clock.Now();
        _bytesInFlight += request.Buffer.Length;
        request.Push(this);
        if (request.Operation != BlockOperation.Flush)
        {
            if ((ulong)request.Offset > (ulong)Info.Size || (ulong)request.Length > (ulong)(Info.Size - request.Offset))
            {
                request.Complete(BlockErrno.EINVAL);
                return;
            }

            if (request.Length == 0)
            {
                // What a zero-length request does at a server is undefined (NBD spec, request types): end it here.
                request.Complete(0);
                return;
            }
        }

        _device.Submit(request);
    }

    /// <summary>Ends a turn of the loop: what was submitted goes out.</summary>
    public void EndTurn()
    {
        _clock.EndTurn();
        _device.EndTurn();
    }

    /// <summary>Takes over the size of the device, which may have grown: see <see cref="IBlockDevice.AdoptSize"/>.</summary>
    public void AdoptSize() => _device.AdoptSize();

    /// <summary>
    /// Notes that the caller of a request has been answered before its end. The slot and its buffer stay taken until
    /// the request has been withdrawn, which is tried at once, or drained.
    /// </summary>
    /// <param name="request">A request in flight whose answer the front end has claimed.</param>
    public void Abandon(BlockRequest request)
    {
        if (!request.IsAbandoned)
        {
            request.IsAbandoned = true;
            Statistics.Abandoned++;
            (_device as IRequestWithdrawal)?.TryWithdraw(request);
        }
    }

    /// <summary>Gives a slot back after its request has ended, or before it was submitted.</summary>
    /// <param name="request">The rented request.</param>
    /// <exception cref="InvalidOperationException">It is in flight, or was given back already.</exception>
    public void Return(BlockRequest request)
    {
        if (!request.IsRented || request.IsInFlight)
        {
            // Otherwise one slot would serve two requests, and the data of one would reach the caller of the other.
            throw new InvalidOperationException("A slot was given back twice, or before its request had ended.");
        }

        request.IsRented = false;
        _free[_freeCount++] = request;
        if (_wantsRoom)
        {
            _wantsRoom = false;
            Statistics.Full.Add(_clock.Now() - _fullSince);
            RoomMade?.Invoke();
        }

        if (_freeCount == _slots.Length)
        {
            Drained?.Invoke();
        }
    }

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        _bytesInFlight -= request.Buffer.Length;
        Statistics.Operations.Count(request, _clock.Now() - request.StartedTicks);
        request.Owner!.OnCompleted(request, 0);
        return false;
    }

    private void NoteFull()
    {
        if (!_wantsRoom)
        {
            _wantsRoom = true;
            _fullSince = _clock.Now();
        }
    }
}
