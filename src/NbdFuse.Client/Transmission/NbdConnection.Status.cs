using NbdFuse.Block;
using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <content>
/// NBD_REPLY_TYPE_BLOCK_STATUS (proto.md) and NBD_REPLY_TYPE_BLOCK_STATUS_EXT (extension-ext-header): one context, and one extent, for
/// the request had NBD_CMD_FLAG_REQ_ONE.
/// </content>
internal sealed partial class NbdConnection
{
    private bool ParseStatus(ReadOnlySpan<byte> available, in ReplyChunk header, int index, BlockRequest request)
    {
        int length = NbdBlockStatusChunk.HeaderSize(_extended) + NbdBlockStatusChunk.DescriptorSize(_extended);
        if (header.Length != length)
        {
            Violation("with NBD_CMD_FLAG_REQ_ONE a block status chunk has exactly one extent", $"its length was {header.Length}");
            return false;
        }

        if (available.Length < header.HeaderBytes + length)
        {
            return false;
        }

        if (!NbdBlockStatusChunk.TryRead(available.Slice(header.HeaderBytes, length), _extended, out NbdBlockStatusChunk chunk))
        {
            Violation("the count of extents agrees with the length of their chunk", $"a chunk of {length} bytes named another count than 1");
            return false;
        }

        if (chunk.ContextId != _statusContext)
        {
            Violation("a block status chunk names a context that was negotiated", $"it named {chunk.ContextId}");
            return false;
        }

        if (request.StatusLength != 0)
        {
            Violation("a BLOCK_STATUS is answered by one chunk for each context", "a second one came");
            return false;
        }

        NbdBlockExtent extent = chunk[0];
        var check = default(NbdBlockStatusCheck);
        if (check.Add(extent, (ulong)WireLength(request), one: true, narrow: true) is { } rule)
        {
            Violation(rule, $"an extent of {extent.Length} bytes with status {extent.Status} answered a BLOCK_STATUS of {WireLength(request)} bytes");
            return false;
        }

        _table[index].HasChunks = true;
        request.StatusLength = (long)extent.Length;
        request.Status = ((extent.Status & (ulong)NbdAllocation.Hole) != 0 ? BlockStatus.Hole : 0)
            | ((extent.Status & (ulong)NbdAllocation.Zero) != 0 ? BlockStatus.Zero : 0);
        _start += header.HeaderBytes + length;
        if (header.IsDone)
        {
            EndReply(index);
        }

        return _failure is null;
    }
}
