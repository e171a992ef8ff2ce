using NbdFuse.Block;
using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <content>NBD_REPLY_TYPE_BLOCK_STATUS (proto.md): one context, and one extent, for the request had NBD_CMD_FLAG_REQ_ONE.</content>
internal sealed partial class NbdConnection
{
    private bool ParseStatus(ReadOnlySpan<byte> available, NbdStructuredReplyHeader header, int index, BlockRequest request)
    {
        const int Payload = 12;
        if (header.Length != Payload)
        {
            Violation("with NBD_CMD_FLAG_REQ_ONE a block status chunk has exactly one extent", $"its length was {header.Length}");
            return false;
        }

        if (available.Length < NbdStructuredReplyHeader.Size + Payload)
        {
            return false;
        }

        // The length fits, so this cannot fail.
        _ = NbdBlockStatusChunk.TryRead(
            available.Slice(NbdStructuredReplyHeader.Size, Payload), extended: false, out NbdBlockStatusChunk chunk);
        if (chunk.ContextId != StatusContext)
        {
            Violation("a block status chunk names a context that was negotiated", $"it named {chunk.ContextId}");
            return false;
        }

        ref InFlightSlot slot = ref _table[index];
        if (request.StatusLength != 0)
        {
            Violation("a BLOCK_STATUS is answered by one chunk for each context", "a second one came");
            return false;
        }

        var check = default(NbdBlockStatusCheck);
        if (check.Add(chunk[0], (ulong)request.Length, one: true, narrow: true) is { } rule)
        {
            Violation(rule, $"an extent of {chunk[0].Length} bytes answered a BLOCK_STATUS of {request.Length} bytes");
            return false;
        }

        slot.HasChunks = true;
        request.StatusLength = (long)chunk[0].Length;
        request.Status = ((chunk[0].Status & (ulong)NbdAllocation.Hole) != 0 ? BlockStatus.Hole : 0)
            | ((chunk[0].Status & (ulong)NbdAllocation.Zero) != 0 ? BlockStatus.Zero : 0);
        _start += NbdStructuredReplyHeader.Size + Payload;
        if (header.IsDone)
        {
            EndReply(index);
        }

        return _failure is null;
    }
}
