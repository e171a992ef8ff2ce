using System.Runtime.InteropServices;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

public sealed partial class FuseSession
{
    /// <summary>
    /// Buffers beyond the queue's capacity with which a session goes on reading while the queue is full: interrupts come by
    /// the same descriptor. Fewer than two mean that it stops.
    /// </summary>
    public const int SpareBuffers = MaximumParked + 1;

    private const int MaximumParked = 32;

    // READs wait without payload and are cheap to hold; of WRITEs no more than two large ones.
    private const int ParkedBytes = FuseBuffers.MaximumPayload;

    private readonly ParkedRequest[] _parked;
    private int _parkedCount;
    private long _parkedBytes;

    // Of the request that is dispatched: what it has been through before it got its slot.
    private long _arrivedMs;
    private bool _arrivedInterrupted;

    private static bool NeedsSlot(FuseOpcode opcode) =>
        opcode is FuseOpcode.Read or FuseOpcode.Write or FuseOpcode.Fsync or FuseOpcode.Flush or FuseOpcode.Release or FuseOpcode.Fallocate;

    /// <summary>Whether there is a place for the next request, whatever it is.</summary>
    private bool MayRead() => _parkedCount == 0 && _queue.HasRoom(FuseBuffers.MaximumPayload)
        ? true
        : _parkedCount < _parked.Length && _parkedBytes <= ParkedBytes;

    /// <summary>Keeps a request for which the queue has no room, or which others overtook it for.</summary>
    /// <returns>False when it can be dispatched now.</returns>
    private bool Park(int buffer, int length, int payload)
    {
        ReadOnlySpan<byte> message = _buffers.Request(buffer, length);
        if (length < InHeaderSize || _parkedCount == _parked.Length)
        {
            return false;
        }

        FuseInHeader header = MemoryMarshal.Read<FuseInHeader>(message);
        if (!NeedsSlot(header.Opcode) || (_parkedCount == 0 && _queue.HasRoom(payload)))
        {
            return false;
        }

        _parked[_parkedCount++] = new ParkedRequest
        {
            Buffer = buffer,
            Length = length,
            Payload = payload,
            Unique = header.Unique,
            ReadMs = _loop.NowMs,
            IsClose = header.Opcode == FuseOpcode.Flush,
        };
        _parkedBytes += length;
        if (header.Opcode == FuseOpcode.Flush)
        {
            Tick();
        }

        return true;
    }

    /// <summary>Dispatches what was parked, in the order of arrival, as far as there is room.</summary>
    private void DispatchParked()
    {
        while (!_ended && _parkedCount > 0 && _queue.HasRoom(_parked[0].Payload))
        {
            ParkedRequest next = TakeParked(0);
            _arrivedMs = next.ReadMs;
            _arrivedInterrupted = next.Interrupted;
            if (!Dispatch(next.Buffer, next.Length))
            {
                _buffers.Return(next.Buffer);
            }

            _arrivedInterrupted = false;
        }
    }

    private ParkedRequest TakeParked(int position)
    {
        ParkedRequest taken = _parked[position];
        _parkedCount--;
        _parkedBytes -= taken.Length;
        Array.Copy(_parked, position + 1, _parked, position, _parkedCount - position);
        return taken;
    }

    private void AnswerParked(int position, int error)
    {
        ParkedRequest taken = TakeParked(position);
        Answer(taken.Buffer, taken.Unique, error);
        _buffers.Return(taken.Buffer);

        // The place that it leaves is one to read into.
        _resume = true;
    }

    private void DropParked()
    {
        while (_parkedCount > 0)
        {
            _buffers.Return(TakeParked(_parkedCount - 1).Buffer);
        }
    }

    /// <returns>True when the request is parked; it is marked then.</returns>
    private bool MarkParked(ulong unique)
    {
        for (int i = 0; i < _parkedCount; i++)
        {
            if (((_parked[i].Unique ^ unique) & ~ResendBit) == 0)
            {
                _parked[i].Interrupted = true;
                return true;
            }
        }

        return false;
    }

    /// <summary>Answers interrupted requests that are old enough.</summary>
    /// <returns>True when some are too young yet.</returns>
    private bool InterruptParked(long nowMs)
    {
        bool waiting = false;
        for (int i = _parkedCount - 1; i >= 0; i--)
        {
            if (_parked[i].Interrupted)
            {
                if (IsOldEnough(_parked[i].ReadMs, nowMs))
                {
                    AnswerParked(i, Errno.EINTR);
                }
                else
                {
                    waiting = true;
                }
            }
        }

        return waiting;
    }
}
