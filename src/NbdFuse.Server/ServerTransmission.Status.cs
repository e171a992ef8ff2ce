using System.Buffers.Binary;
using NbdFuse.Protocol;

namespace NbdFuse.Server;

/// <content>Headers of both forms, and NBD_CMD_BLOCK_STATUS.</content>
internal sealed partial class ServerTransmission
{
    // Extents in one reply: the client asks again from where they end.
    private const int MaximumExtents = 4096;

    private const NbdCommandFlags UnknownFlag = (NbdCommandFlags)0x8000;
    private const int FilterHeader = sizeof(ulong);
    private const int FilterId = sizeof(uint);

    private NbdBlockExtent[] _extents = [];

    private int HeaderSize => _extended ? NbdExtendedRequestHeader.Size : NbdRequestHeader.Size;

    /// <summary>Takes a header of either form out of the buffer; the length of a compact one is that of the payload for a WRITE.</summary>
    private NbdExtendedRequestHeader ReadHeader()
    {
        NbdExtendedRequestHeader request;
        if (_extended)
        {
            if (!NbdExtendedRequestHeader.TryRead(_reader.Buffered, out request))
            {
                throw new ClientViolationException("an extended request began with the wrong magic");
            }

            if (request.Command == NbdCommand.Write)
            {
                // A client must set the flag (extension-ext-header, "Request types"). QEMU's, 10.0 at least, does not, and sends the payload.
                request = request with { Flags = request.Flags | NbdCommandFlags.PayloadLen };
            }
        }
        else if (NbdRequestHeader.TryRead(_reader.Buffered, out NbdRequestHeader compact))
        {
            // In this form only a WRITE has a payload. The flag must not be used, and is as wrong as any that nobody knows.
            NbdCommandFlags flags = (compact.Flags & NbdCommandFlags.PayloadLen) == 0 ? compact.Flags : UnknownFlag;
            NbdCommandFlags payload = compact.Command == NbdCommand.Write ? NbdCommandFlags.PayloadLen : NbdCommandFlags.None;
            request = new(flags | payload, compact.Command, compact.Cookie, compact.Offset, compact.Length);
        }
        else
        {
            throw new ClientViolationException("a request began with the wrong magic");
        }

        _reader.Consume(HeaderSize);
        if (request.HasPayload && request.Length > MaximumSkip)
        {
            throw new ClientViolationException($"a {request.Command} announced {request.Length} bytes of payload");
        }

        return request;
    }

    private Span<byte> Chunk(in NbdExtendedRequestHeader request, NbdReplyType type, NbdReplyFlags flags, int length)
    {
        int headerSize = _extended ? NbdExtendedReplyHeader.Size : NbdStructuredReplyHeader.Size;
        Span<byte> frame = _writer.GetSpan(headerSize + length);
        if (_extended)
        {
            NbdExtendedReplyHeader.Write(frame, flags, type, request.Cookie, request.Offset, (ulong)length);
        }
        else
        {
            NbdStructuredReplyHeader.Write(frame, flags, type, request.Cookie, (uint)length);
        }

        _writer.Advance(frame.Length);
        return frame[headerSize..];
    }

    private async ValueTask<bool> RefusePayloadAsync(NbdExtendedRequestHeader request, CancellationToken cancellation)
    {
        Answer(in request, NbdError.Inval, "this command has no payload");
        return await _reader.SkipAsync((long)request.Length, cancellation).ConfigureAwait(false);
    }

    /// <summary>The form of BLOCK_STATUS that names the contexts it wants.</summary>
    private async ValueTask<bool> FilteredStatusAsync(NbdExtendedRequestHeader request, CancellationToken cancellation)
    {
        if (request.Length < FilterHeader || request.Length > FilterHeader + (FilterId * 64))
        {
            return await RefusePayloadAsync(request, cancellation).ConfigureAwait(false);
        }

        int length = (int)request.Length;
        if (_reader.Buffered.Length < length)
        {
            await _writer.FlushAsync(cancellation).ConfigureAwait(false);
            if (!await _reader.FillAsync(length, cancellation).ConfigureAwait(false))
            {
                return false;
            }
        }

        ulong effect = BinaryPrimitives.ReadUInt64BigEndian(_reader.Buffered);
        int ids = (length - FilterHeader) / FilterId;
        bool wanted = ids == 1 && BinaryPrimitives.ReadUInt32BigEndian(_reader.Buffered[FilterHeader..]) == ServerHandshake.AllocationId;
        bool isWhole = (length - FilterHeader) % FilterId == 0;
        _reader.Consume(length);
        if (!isWhole || (ids != 0 && !wanted))
        {
            Answer(in request, NbdError.Inval, "the contexts of the payload are unknown, or named twice");
            return true;
        }

        NbdExtendedRequestHeader effective = request with { Length = effect, Flags = request.Flags & ~NbdCommandFlags.PayloadLen };
        if (ids == 0)
        {
            NbdError error = CheckRange(in effective, NbdCommandFlags.ReqOne, NbdError.Inval, out string message);
            Answer(in request, error, message);
            return true;
        }

        BlockStatus(in effective, _hasStatus);
        return true;
    }

    private void BlockStatus(in NbdExtendedRequestHeader request, bool selected)
    {
        NbdError error = CheckRange(in request, NbdCommandFlags.ReqOne, NbdError.Inval, out string message);
        if (error == NbdError.None && (!selected || request.Length == 0))
        {
            error = NbdError.Inval;
            message = selected ? "a BLOCK_STATUS of no bytes" : "no metadata context was chosen for this export";
        }

        if (error != NbdError.None)
        {
            Answer(in request, error, message);
            return;
        }

        int count = CollectExtents(in request);
        Span<byte> payload = Chunk(
            in request,
            _extended ? NbdReplyType.BlockStatusExt : NbdReplyType.BlockStatus,
            NbdReplyFlags.Done,
            NbdBlockStatusChunk.GetSize(count, _extended));
        NbdBlockStatusChunk.Write(payload, ServerHandshake.AllocationId, _extents.AsSpan(0, count), _extended);
    }

    private int CollectExtents(in NbdExtendedRequestHeader request)
    {
        int limit = (request.Flags & NbdCommandFlags.ReqOne) != 0 ? 1 : MaximumExtents;
        if (_extents.Length < limit)
        {
            _extents = new NbdBlockExtent[limit];
        }

        long offset = (long)request.Offset;
        long end = offset + (long)request.Length;
        int count = 0;
        while (offset < end)
        {
            long run = NextRun(offset, end, out NbdAllocation status);
            if (count > 0 && _extents[count - 1].Status == (ulong)status)
            {
                _extents[count - 1] = new(_extents[count - 1].Length + (ulong)run, (ulong)status);
            }
            else if (count == limit)
            {
                break;
            }
            else
            {
                _extents[count++] = new((ulong)run, (ulong)status);
            }

            offset += run;
        }

        return count;
    }

    /// <summary>A run of whole minimum blocks: what is only partly a hole is data.</summary>
    private long NextRun(long offset, long end, out NbdAllocation status)
    {
        long run = _backend.NextStatus(offset, end - offset, out status);
        long block = _export.BlockSizes.Minimum;
        long odd = run % block;
        if (odd == 0 || offset + run == end)
        {
            return run;
        }

        if (status == NbdAllocation.None || run < block)
        {
            status = NbdAllocation.None;
            return Math.Min(run - odd + block, end - offset);
        }

        return run - odd;
    }
}
