using NbdFuse.Block;
using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <content>
/// What the frames mean (NBD spec, "Simple reply message", "Structured reply chunk message", and "Extended reply chunk message" of its
/// branch extension-ext-header). Each parser returns true when it consumed a frame and false when it needs more bytes or the
/// connection failed.
/// </content>
internal sealed partial class NbdConnection
{
    private bool ParseSimple(ReadOnlySpan<byte> available)
    {
        if (!NbdSimpleReplyHeader.TryRead(available, out NbdSimpleReplyHeader header))
        {
            return available.Length >= NbdSimpleReplyHeader.Size && Unreachable();
        }

        if (!FindCommand(header.Cookie, out int index))
        {
            return false;
        }

        ref InFlightSlot slot = ref _table[index];
        BlockRequest request = slot.Request!;
        bool isRead = request.Operation == BlockOperation.Read;
        if (slot.HasChunks || (isRead && _structured))
        {
            Violation("with structured replies, a READ is answered by chunks only", "a simple reply answered a READ");
            return false;
        }

        int error = ErrnoOf(header.Error);
        if (error == 0 && request.Operation == BlockOperation.BlockStatus)
        {
            Violation("a BLOCK_STATUS is answered by chunks", "a simple reply answered it");
            return false;
        }

        if (!isRead || error != 0)
        {
            _start += NbdSimpleReplyHeader.Size;
            End(index, error);
            return _failure is null;
        }

        return TakeWholePayload(index, request, NbdSimpleReplyHeader.Size, available.Length);
    }

    /// <summary>Takes the payload of a READ that is answered in one piece.</summary>
    private bool TakeWholePayload(int index, BlockRequest request, int headerBytes, int available)
    {
        int length = (int)request.Length;
        if (available >= headerBytes + length)
        {
            int payload = _start + headerBytes;
            IPayloadSink? sink = request.Sink;
            if (sink is not null && sink.HeaderRoom <= headerBytes && !request.IsAbandoned)
            {
                // Straight from the receive buffer: the header that was read makes room for the one to be written.
                request.IsDelivered = sink.TryDeliver(
                    request, _receive.Span.Slice(payload - sink.HeaderRoom, sink.HeaderRoom + length));
            }

            if (!request.IsDelivered)
            {
                _receive.Span.Slice(payload, length).CopyTo(request.Buffer.Span);
            }

            _start = payload + length;
            _table[index].CoveredEnd = request.End;
            EndReply(index);
            return _failure is null;
        }

        if (length < DirectBytes)
        {
            return false;
        }

        _start += headerBytes;
        _table[index].CoveredEnd = request.End;
        if (available > headerBytes || !TryStartSplice(index, request))
        {
            StartBody(index, request.Offset, length, ends: true);
        }

        return true;
    }

    private bool ParseStructured(ReadOnlySpan<byte> available)
    {
        if (!NbdStructuredReplyHeader.TryRead(available, out NbdStructuredReplyHeader header))
        {
            return available.Length >= NbdStructuredReplyHeader.Size && Unreachable();
        }

        if (!FindCommand(header.Cookie, out int index))
        {
            return false;
        }

        var chunk = new ReplyChunk(header.Flags, header.Type, header.Length, NbdStructuredReplyHeader.Size);
        return ParseChunk(available, chunk, index);
    }

    private bool ParseExtended(ReadOnlySpan<byte> available, uint magic)
    {
        if (magic != NbdMagic.ExtendedReply)
        {
            Violation("with extended headers, every reply starts with the magic of an extended one", $"a reply started with 0x{magic:x8}");
            return false;
        }

        if (!NbdExtendedReplyHeader.TryRead(available, out NbdExtendedReplyHeader header))
        {
            return available.Length >= NbdExtendedReplyHeader.Size && Unreachable();
        }

        if (!FindCommand(header.Cookie, out int index))
        {
            return false;
        }

        if (header.Offset != (ulong)_table[index].Request!.Offset)
        {
            Violation(
                "the offset of an extended reply is that of its request",
                $"offset {header.Offset} answered {_table[index].Request!.Operation} at {_table[index].Request!.Offset}");
            return false;
        }

        if (header.Length > uint.MaxValue)
        {
            Violation("no payload of a reply needs more than 32 bits of length", $"a chunk of type {(ushort)header.Type} had {header.Length} bytes");
            return false;
        }

        var chunk = new ReplyChunk(header.Flags, header.Type, (uint)header.Length, NbdExtendedReplyHeader.Size);
        return ParseChunk(available, chunk, index);
    }

    private bool ParseChunk(ReadOnlySpan<byte> available, in ReplyChunk header, int index)
    {
        BlockRequest request = _table[index].Request!;
        if (header.IsError)
        {
            return ParseErrorChunk(available, header, index, request);
        }

        switch (header.Type)
        {
            case NbdReplyType.None:
                return ParseNone(header, index);
            case NbdReplyType.OffsetData when request.Operation == BlockOperation.Read:
                return ParseData(available, header, index, request);
            case NbdReplyType.OffsetHole when request.Operation == BlockOperation.Read:
                return ParseHole(available, header, index, request);
            case NbdReplyType.BlockStatus when request.Operation == BlockOperation.BlockStatus && !_extended:
            case NbdReplyType.BlockStatusExt when request.Operation == BlockOperation.BlockStatus && _extended:
                return ParseStatus(available, header, index, request);
            default:
                Violation(
                    "a chunk has a type that is defined for its command",
                    $"a chunk of type {(ushort)header.Type} answered {request.Operation}");
                return false;
        }
    }

    private bool ParseNone(in ReplyChunk header, int index)
    {
        if (header.Length != 0 || !header.IsDone)
        {
            Violation("a NONE chunk is empty and the last one", $"a NONE chunk had length {header.Length}, flags {(ushort)header.Flags}");
            return false;
        }

        _start += header.HeaderBytes;
        EndReply(index);
        return _failure is null;
    }

    private bool ParseData(
        ReadOnlySpan<byte> available, in ReplyChunk header, int index, BlockRequest request)
    {
        int prefix = header.HeaderBytes + NbdOffsetDataChunk.Size;
        if (header.Length <= NbdOffsetDataChunk.Size)
        {
            Violation("an OFFSET_DATA chunk carries data", $"its length was {header.Length}");
            return false;
        }

        if (available.Length < prefix)
        {
            return false;
        }

        _ = NbdOffsetDataChunk.TryRead(available[header.HeaderBytes..], out NbdOffsetDataChunk chunk);
        long length = header.Length - NbdOffsetDataChunk.Size;
        if (!IsInside(request, chunk.Offset, length))
        {
            return false;
        }

        ref InFlightSlot slot = ref _table[index];
        if (!slot.HasChunks && header.IsDone && length == request.Length)
        {
            return TakeWholePayload(index, request, prefix, available.Length);
        }

        if (!Cover(ref slot, request, (long)chunk.Offset, length))
        {
            return false;
        }

        _start += prefix;
        StartBody(index, (long)chunk.Offset, (int)length, header.IsDone);
        return true;
    }

    private bool ParseHole(
        ReadOnlySpan<byte> available, in ReplyChunk header, int index, BlockRequest request)
    {
        if (header.Length != NbdOffsetHoleChunk.Size)
        {
            Violation("an OFFSET_HOLE chunk has length 12", $"its length was {header.Length}");
            return false;
        }

        if (available.Length < header.HeaderBytes + NbdOffsetHoleChunk.Size)
        {
            return false;
        }

        _ = NbdOffsetHoleChunk.TryRead(available[header.HeaderBytes..], out NbdOffsetHoleChunk hole);
        if (hole.Length == 0)
        {
            Violation("a hole is not empty", "an OFFSET_HOLE chunk had size 0");
            return false;
        }

        if (!IsInside(request, hole.Offset, hole.Length)
            || !Cover(ref _table[index], request, (long)hole.Offset, hole.Length))
        {
            return false;
        }

        request.Buffer.Span.Slice((int)((long)hole.Offset - request.Offset), (int)hole.Length).Clear();
        _start += header.HeaderBytes + NbdOffsetHoleChunk.Size;
        if (header.IsDone)
        {
            EndReply(index);
        }

        return _failure is null;
    }

    private bool ParseErrorChunk(
        ReadOnlySpan<byte> available, in ReplyChunk header, int index, BlockRequest request)
    {
        if (header.Length > NbdLimits.MaxErrorChunkBytes)
        {
            Violation("an error chunk holds a message of at most 4096 bytes", $"its length was {header.Length}");
            return false;
        }

        int total = header.HeaderBytes + (int)header.Length;
        if (available.Length < total)
        {
            return false;
        }

        ReadOnlySpan<byte> payload = available[header.HeaderBytes..total];
        if (!NbdErrorChunk.TryRead(header.Type, payload, out NbdErrorChunk chunk))
        {
            Violation("an error chunk holds an error and a message of the length it names", "its length does not fit");
            return false;
        }

        if (chunk.Error == 0)
        {
            Violation("an error chunk names an error", "its error was 0");
            return false;
        }

        if (chunk.Offset is ulong offset
            && (offset < (ulong)request.Offset || offset >= (ulong)request.Offset + (ulong)Math.Max(request.Length, 1)))
        {
            Violation("the offset of an error lies in its request", $"offset {offset} is outside");
            return false;
        }

        ref InFlightSlot slot = ref _table[index];
        slot.HasChunks = true;
        if (slot.Error == 0)
        {
            slot.Error = ErrnoOf(chunk.Error);
        }

        if (!chunk.Message.IsEmpty)
        {
            _owner.OnErrorText(request, slot.Error, chunk.Message);
        }

        _start += total;
        if (header.IsDone)
        {
            EndReply(index);
        }

        return _failure is null;
    }

    /// <summary>The last chunk of a reply has been handled: the request succeeded or failed.</summary>
    private void EndReply(int index)
    {
        ref InFlightSlot slot = ref _table[index];
        BlockRequest request = slot.Request!;
        if (slot.Error == 0 && request.Operation == BlockOperation.BlockStatus && request.StatusLength == 0)
        {
            Violation("a BLOCK_STATUS is answered by one chunk for each context", "it was answered by none");
            return;
        }

        if (slot.Error == 0 && request.Operation == BlockOperation.Read && !IsCovered(ref slot, request))
        {
            Violation("the chunks of a READ cover all of it", "a READ was answered with a gap");
            return;
        }

        if (slot.Error == 0 && _canSplice && request.Sink is { } sink && !request.IsDelivered && !request.IsAbandoned)
        {
            request.IsDelivered = sink.TryDeliver(request, default);
        }

        End(index, slot.Error);
    }

    private bool FindCommand(ulong cookie, out int index)
    {
        if (_table.TryFind(cookie, _sentBytes, out index))
        {
            return true;
        }

        Violation("a reply names a command in flight", $"no command has the cookie 0x{cookie:x16}");
        return false;
    }

    private bool IsInside(BlockRequest request, ulong offset, long length)
    {
        if (offset >= (ulong)request.Offset && offset <= (ulong)request.End && length <= request.End - (long)offset)
        {
            return true;
        }

        Violation(
            "a chunk lies inside its READ",
            $"{length} bytes at {offset} answered a READ of {request.Length} bytes at {request.Offset}");
        return false;
    }

    private bool Cover(ref InFlightSlot slot, BlockRequest request, long offset, long length)
    {
        bool first = !slot.HasChunks;
        slot.HasChunks = true;
        if (offset == slot.CoveredEnd && (first || slot.Fragments is not { IsUsed: true }))
        {
            slot.CoveredEnd += length;
            return true;
        }

        ReadFragments fragments = slot.Fragments ??= new ReadFragments();
        if (!fragments.IsUsed && slot.CoveredEnd > request.Offset)
        {
            _ = fragments.TryAdd(request.Offset, slot.CoveredEnd, ReadFragments.Limit(request.Length));
        }

        if (fragments.TryAdd(offset, offset + length, ReadFragments.Limit(request.Length)))
        {
            return true;
        }

        Violation("the chunks of a READ do not overlap", $"{length} bytes at {offset} came twice, or in too many pieces");
        return false;
    }

    private static bool IsCovered(ref InFlightSlot slot, BlockRequest request) =>
        slot.Fragments is { IsUsed: true } fragments
            ? fragments.Covers(request.Offset, request.End)
            : slot.CoveredEnd == request.End;

    private static int ErrnoOf(uint wire) => wire == 0 ? 0 : (int)NbdErrors.Normalize(wire);

    private bool Unreachable()
    {
        Violation("a reply starts with its magic", "its header is malformed");
        return false;
    }
}
