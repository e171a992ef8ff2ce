using System.Runtime.InteropServices;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

public sealed partial class FuseSession
{
    /// <summary>Payload in flight up to which spinning pays: longer transfers need the processor for their copies.</summary>
    private const int SpinBytes = 64 * 1024;

    private bool _started;
    private bool _reading;
    private bool _draining;
    private bool _resume;
    private bool _held;

    /// <inheritdoc/>
    bool ITurnHook.WantsSpin => _options.Spin && _started && !_ended && _queue.InFlight <= 2 && _queue.BytesInFlight <= SpinBytes;

    /// <inheritdoc/>
    void IEventHandler.OnEvents(EpollEvents events)
    {
        if (_reading)
        {
            ReadRequests();
        }
        else if ((events & (EpollEvents.Err | EpollEvents.Hup)) != 0)
        {
            // Reported unasked, for ever: the connection is gone, though nothing is read at present.
            EndByHangup();
        }
    }

    /// <inheritdoc/>
    void ITurnHook.OnTurnEnd()
    {
        do
        {
            _queue.Ready.Run();
            if (_resume)
            {
                _resume = false;
                DispatchParked();
                SetReading(!_draining && !_held && TakeLeft() && MayRead());
            }

            _queue.EndTurn();
        }
        while (!_queue.Ready.IsEmpty);

        if (_draining && _queue.IsIdle && _parkedCount == 0)
        {
            End(FuseEndReason.Drained, 0, "drained");
        }
    }

    private void StartOnLoop()
    {
        if (_started || _ended)
        {
            return;
        }

        _queue.RoomMade = () => _resume = true;
        _held = _options.Hold;
        int result = _loop.Add(_fd, _held ? EpollEvents.None : EpollEvents.In, this);
        if (result < 0)
        {
            End(FuseEndReason.Failed, -result, $"cannot poll the FUSE device: {Errno.Describe(result)}");
            return;
        }

        _started = true;
        _reading = !_held;
        _loop.AddTurnHook(this);
        if (_negotiation is not null)
        {
            // Another process has answered INIT, which comes once.
            _ready.TrySetResult();
        }
    }

    private void ReadRequests()
    {
        for (int i = 0; i < _options.ReadsPerTurn; i++)
        {
            if (!MayRead() || !_buffers.TryRent(out int buffer))
            {
                // RoomMade follows: whoever holds a buffer holds a slot, or waits for one.
                SetReading(false);
                return;
            }

            int length = Posix.Read(_fd, _buffers.PrepareRequest(buffer, FuseBuffers.MaximumPayload));
            if (length <= 0)
            {
                _buffers.Return(buffer);
                if (length == -Errno.EAGAIN)
                {
                    return;
                }

                // ENOENT: the request was interrupted while it was handed over; the next one follows.
                if (length is -Errno.ENOENT or -Errno.EINTR)
                {
                    continue;
                }

                EndByRead(length);
                return;
            }

            int payload = PayloadOf(_buffers.Request(buffer, length));
            if (payload > FuseBuffers.SmallPayload)
            {
                _trimmer.NoteLarge();
            }

            Begin(_buffers.MoveSmall(buffer, length, payload), length, payload);
            if (_ended || _draining)
            {
                return;
            }
        }
    }

    private void Begin(int buffer, int length, int payload)
    {
        _arrivedMs = _loop.NowMs;
        if (!Park(buffer, length, payload) && !Dispatch(buffer, length))
        {
            _buffers.Return(buffer);
        }
    }

    /// <summary>Bytes of payload that came with a request, or that its answer needs room for.</summary>
    private static int PayloadOf(ReadOnlySpan<byte> message)
    {
        if (message.Length < InHeaderSize)
        {
            return 0;
        }

        FuseOpcode opcode = MemoryMarshal.Read<FuseInHeader>(message).Opcode;
        return opcode == FuseOpcode.Read && TryBody(message[InHeaderSize..], out FuseReadIn read)
            ? (int)Math.Min(read.Size, FuseBuffers.MaximumPayload)
            : Math.Max(0, message.Length - FuseBuffers.WriteHeader);
    }

    private void SetReading(bool reading)
    {
        if (_ended || !_started || _reading == reading)
        {
            return;
        }

        _reading = reading;
        int result = _loop.Modify(_fd, reading ? EpollEvents.In : EpollEvents.None);
        if (result < 0)
        {
            End(FuseEndReason.Failed, -result, $"cannot poll the FUSE device: {Errno.Describe(result)}");
        }
    }

    // Only reading tells an unmounted connection from an aborted one. One that has gone hands nothing out any more; and if
    // it did, nobody would wait for an answer.
    private void EndByHangup()
    {
        int result = 0;
        if (_buffers.TryRent(out int buffer))
        {
            do
            {
                result = Posix.Read(_fd, _buffers.PrepareRequest(buffer, FuseBuffers.MaximumPayload));
            }
            while (result > 0 || result is -Errno.ENOENT or -Errno.EINTR);
            _buffers.Return(buffer);
        }

        EndByRead(result == -Errno.EAGAIN ? 0 : result);
    }

    private void EndByRead(int result)
    {
        switch (result)
        {
            case 0 or -Errno.ENODEV:
                End(FuseEndReason.Unmounted, 0, "unmounted");
                break;
            case -Errno.ECONNABORTED:
                End(FuseEndReason.Aborted, -result, "the connection was aborted");
                break;
            default:
                End(FuseEndReason.Failed, -result, $"reading the FUSE device failed: {Errno.Describe(result)}");
                break;
        }
    }

    private void BeginDrainOnLoop()
    {
        _draining = true;
        SetReading(false);
        if (!_started)
        {
            End(FuseEndReason.Drained, 0, "drained");
        }
    }

    private void AbortOnLoop(int error)
    {
        if (_ended)
        {
            return;
        }

        while (_parkedCount > 0)
        {
            AnswerParked(0, error);
        }

        for (int tag = 0; tag < _states.Length; tag++)
        {
            if (_states[tag].Active)
            {
                AnswerEarly(tag, error);
            }
        }

        AnswerLeft(error);
        End(FuseEndReason.Stopped, error, $"stopped: {Errno.Describe(error)}");
    }
}
