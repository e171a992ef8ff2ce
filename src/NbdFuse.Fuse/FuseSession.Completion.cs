using System.Diagnostics.CodeAnalysis;
using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

public sealed partial class FuseSession
{
    // FIONREAD (asm-generic/ioctls.h).
    private const uint BytesInPipe = 0x541B;

    /// <inheritdoc/>
    int IPayloadSink.HeaderRoom => FuseBuffers.ReplyHeader;

    /// <inheritdoc/>
    public bool TryDeliver(BlockRequest request, Span<byte> frame)
    {
        if (frame.IsEmpty)
        {
            // The payload is where the request asked for it, behind room for the header. The slot's state is stable
            // while its request is in flight, so a mover may look at it.
            frame = _buffers.ReadReply(_states[request.Tag].Buffer, (int)request.Length);
        }
        else if (frame.Length != FuseBuffers.ReplyHeader + request.Length)
        {
            return false;
        }

        if (!request.TryClaimAnswer())
        {
            // The caller was answered already, by an interrupt: nobody wants the payload.
            return true;
        }

        WriteOutHeader(frame, frame.Length, 0, request.Token);
        request.IsDelivered = true;
        DeliverResult(request, _ended ? 0 : Posix.Write(_fd, frame));
        return true;
    }

    /// <inheritdoc/>
    public bool TryDeliverPieces(BlockRequest request, ReadOnlySpan<ReadOnlyMemory<byte>> pieces)
    {
        if (pieces.Length >= _replyPieces.Capacity || _ended)
        {
            return false;
        }

        if (!request.TryClaimAnswer())
        {
            return true;
        }

        Span<byte> header = _buffers.ReadReply(_states[request.Tag].Buffer, 0);
        WriteHeader(request, header);
        request.IsDelivered = true;
        _replyPieces.Clear();
        _replyPieces.Add(header);
        foreach (ReadOnlyMemory<byte> piece in pieces)
        {
            _replyPieces.Add(piece.Span);
        }

        DeliverResult(request, Posix.WriteV(_fd, _replyPieces));
        return true;
    }

    /// <inheritdoc/>
    public bool TryDeliverFromPipe(BlockRequest request, int pipeReadEnd, int length)
    {
        if (length != request.Length || _ended || !request.TryClaimAnswer())
        {
            return false;
        }

        request.IsDelivered = true;

        // Header and payload in one call, or the kernel refuses the message.
        int result = Posix.Splice(pipeReadEnd, _fd, FuseBuffers.ReplyHeader + length, SpliceFlags.Move | SpliceFlags.NonBlocking);
        DeliverResult(request, result);
        if (result >= 0)
        {
            return true;
        }

        // A refused message has been taken out of the pipe; one that was not looked at (no memory) has not.
        int waiting = 0;
        return Posix.Ioctl(pipeReadEnd, BytesInPipe, ref waiting) >= 0 && waiting == 0;
    }

    /// <inheritdoc/>
    public void WriteHeader(BlockRequest request, Span<byte> header) =>
        WriteOutHeader(header, FuseBuffers.ReplyHeader + (int)request.Length, 0, request.Token);

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        ref FuseRequestState slot = ref _states[request.Tag];
        if (request.Error == 0)
        {
            if (request.IsMutating)
            {
                // Abandoned ones too: they are on the device.
                _writes++;
                _contentChanged = true;
            }
            else if (request.Operation == BlockOperation.Flush)
            {
                _flushedWrites = Math.Max(_flushedWrites, slot.WritesBefore);
            }
        }

        if (slot.Opcode == FuseOpcode.Lseek && ContinueSearch(request, ref slot))
        {
            return false;
        }

        if (!request.IsDelivered && request.TryClaimAnswer())
        {
            AnswerCompleted(request, slot);
        }

        _buffers.Return(slot.Buffer);
        slot.Active = false;
        _queue.Return(request);
        return false;
    }

    private void AnswerCompleted(BlockRequest request, in FuseRequestState slot)
    {
        if (slot.Opcode == FuseOpcode.Lseek)
        {
            AnswerSearch(request, slot);
            return;
        }

        if (request.Error != 0)
        {
            Answer(slot.Buffer, slot.Unique, request.Error);
            return;
        }

        switch (slot.Opcode)
        {
            case FuseOpcode.Read:
                Span<byte> reply = _buffers.ReadReply(slot.Buffer, (int)request.Length);
                WriteOutHeader(reply, reply.Length, 0, slot.Unique);
                Send(reply);
                break;
            case FuseOpcode.Write:
                FuseWriteOut written = new() { Size = (uint)slot.Written };
                AnswerWith(slot.Buffer, slot.Unique, written, 8);
                break;
            default:
                Answer(slot.Buffer, slot.Unique, 0);
                break;
        }
    }

    private bool TryRent(in FuseInHeader header, int buffer, [NotNullWhen(true)] out BlockRequest? request)
    {
        if (!_queue.TryRent(out request))
        {
            // Room was asked for before the request was read.
            Fail(header, buffer, Errno.ENOMEM);
            return false;
        }

        request.Owner = this;
        request.Token = header.Unique;
        ref FuseRequestState slot = ref _states[request.Tag];
        slot.Active = true;
        slot.Interrupted = _arrivedInterrupted;
        slot.Request = request;
        slot.Opcode = header.Opcode;
        slot.Buffer = buffer;
        slot.Unique = header.Unique;
        if (_options.RequestTimeoutMs > 0)
        {
            Tick();
        }

        return true;
    }

    /// <summary>Runs on any thread.</summary>
    private void DeliverResult(BlockRequest request, int result)
    {
        if (result >= 0 || IsGone(result))
        {
            return;
        }

        // The answer is claimed: nobody else will give one, and the caller must not wait for ever.
        Interlocked.Increment(ref _failedReplies);
        Span<byte> failure = stackalloc byte[FuseBuffers.ReplyHeader];
        WriteOutHeader(failure, FuseBuffers.ReplyHeader, Errno.EIO, request.Token);
        int second = Posix.Write(_fd, failure);
        if (second < 0 && !IsGone(second))
        {
            Interlocked.Increment(ref _failedReplies);
        }
    }
}
