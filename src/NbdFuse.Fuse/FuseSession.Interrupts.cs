using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

public sealed partial class FuseSession
{
    /// <summary>Bytes to zero or trim for which a request gets its time once more.</summary>
    private const long BytesPerTimeout = 128L << 20;

    private bool _ticking;
    private bool _hasWarned;

    private bool IsDeviceStalled => IsStalled?.Invoke() == true;

    /// <inheritdoc/>
    void ITimerTarget.OnTimer(long nowMs)
    {
        _ticking = false;
        bool waiting = InterruptParked(nowMs);
        for (int tag = 0; tag < _states.Length; tag++)
        {
            if (_states[tag].Active && _states[tag].Interrupted && !_states[tag].Request!.IsAbandoned)
            {
                waiting |= !InterruptWhenOld(tag, nowMs);
            }
        }

        waiting |= FreeCloses();
        if (_options.RequestTimeoutMs > 0)
        {
            waiting |= EndOverdue(nowMs);
        }

        if (waiting)
        {
            Tick();
        }
    }

    /// <summary>
    /// Lets those go on that close the file, once the server is away. Nobody can break off this wait, and a program that starts
    /// another one sits in it with locks held on which every ps(1) of the machine then waits; it may even be the one that would
    /// start the server again.
    /// </summary>
    /// <returns>True while a close waits for a server that is there.</returns>
    private bool FreeCloses()
    {
        bool isStalled = IsDeviceStalled;
        bool waiting = false;
        for (int tag = 0; tag < _states.Length; tag++)
        {
            if (_states[tag].Active && _states[tag].Opcode == FuseOpcode.Flush && !_states[tag].Request!.IsAbandoned)
            {
                waiting = true;
                if (isStalled)
                {
                    AnswerEarly(tag, 0);
                }
            }
        }

        for (int i = _parkedCount - 1; i >= 0; i--)
        {
            if (_parked[i].IsClose)
            {
                waiting = true;
                if (isStalled)
                {
                    AnswerParked(i, 0);
                }
            }
        }

        return waiting && !isStalled;
    }

    /// <summary>Answers requests that have grown too old, or speaks of them.</summary>
    /// <returns>True while there are requests that may grow too old.</returns>
    private bool EndOverdue(long nowMs)
    {
        bool waiting = _parkedCount > 0;
        int overdue = 0;
        for (int tag = 0; tag < _states.Length; tag++)
        {
            if (!_states[tag].Active || _states[tag].Request!.IsAbandoned)
            {
                continue;
            }

            BlockRequest request = _states[tag].Request!;
            long more = request.Operation is BlockOperation.WriteZeroes or BlockOperation.Trim ? request.Length / BytesPerTimeout : 0;
            if (nowMs - request.StartedMs < _options.RequestTimeoutMs * (1 + more))
            {
                waiting = true;
                continue;
            }

            overdue++;
            waiting |= _options.RequestTimeoutWaits;
            if (!_options.RequestTimeoutWaits)
            {
                AnswerEarly(tag, Errno.ETIMEDOUT);
            }
        }

        for (int i = _parkedCount - 1; i >= 0; i--)
        {
            if (nowMs - _parked[i].ReadMs >= _options.RequestTimeoutMs)
            {
                overdue++;
                if (!_options.RequestTimeoutWaits)
                {
                    AnswerParked(i, Errno.ETIMEDOUT);
                }
            }
        }

        if (overdue > 0 && !_hasWarned)
        {
            LogOverdue(_logger, overdue, _options.RequestTimeoutMs / 1000.0, _options.RequestTimeoutWaits ? "they wait on" : "they get an error");
        }

        // Once for all that grow old together.
        _hasWarned = overdue > 0;
        return waiting;
    }

    /// <summary>
    /// Remembers the interrupt. Never answered, and never ENOSYS, which would turn interrupts off for the connection.
    /// </summary>
    private bool Interrupt(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        if (!TryBody(body, out FuseInterruptIn interrupt))
        {
            return Malformed(header, buffer, body.Length + InHeaderSize);
        }

        for (int tag = 0; tag < _states.Length; tag++)
        {
            if (_states[tag].Active && ((_states[tag].Unique ^ interrupt.Unique) & ~ResendBit) == 0)
            {
                _states[tag].Interrupted = true;
                if (!InterruptWhenOld(tag, _loop.NowMs))
                {
                    Tick();
                }

                return false;
            }
        }

        if (MarkParked(interrupt.Unique))
        {
            if (InterruptParked(_loop.NowMs))
            {
                Tick();
            }

            return false;
        }

        // Answered meanwhile: the two crossed.
        return false;
    }

    /// <returns>False while the request is too young.</returns>
    private bool InterruptWhenOld(int tag, long nowMs)
    {
        BlockRequest request = _states[tag].Request!;
        if (!IsOldEnough(request.StartedMs, nowMs))
        {
            return false;
        }

        AnswerEarly(tag, Errno.EINTR);
        return true;
    }

    private bool IsOldEnough(long startedMs, long nowMs) =>
        nowMs - startedMs >= _options.InterruptAfterMs || IsDeviceStalled;

    /// <summary>
    /// Answers the caller before the request has ended. Slot and buffer stay taken until it has: a device may still read or
    /// fill the buffer.
    /// </summary>
    private void AnswerEarly(int tag, int error)
    {
        ref FuseRequestState slot = ref _states[tag];
        if (slot.Request!.TryClaimAnswer())
        {
            Answer(slot.Buffer, slot.Unique, error);

            // The buffer may be in use for long yet, but no successor of this process may send its request again.
            _buffers.Forget(slot.Buffer);
            _queue.Abandon(slot.Request);
        }
    }

    private void Tick()
    {
        if (!_ticking)
        {
            _ticking = true;
            _loop.Schedule(this, _loop.NowMs + _options.InterruptTickMs);
        }
    }
}
