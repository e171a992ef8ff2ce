using NbdFuse.Protocol;
using NbdFuse.TestKit;

namespace NbdFuse.UnitTests.Client.Transmission;

/// <summary>Bytes of replies with extended headers, right and wrong ones.</summary>
internal static class ExtendedReply
{
    public static byte[] Chunk(
        in NbdExtendedRequestHeader request, NbdReplyType type, byte[] payload, bool done = true, ulong? length = null, ulong? offset = null)
    {
        byte[] header = new byte[NbdExtendedReplyHeader.Size];
        NbdExtendedReplyHeader.Write(
            header,
            done ? NbdReplyFlags.Done : NbdReplyFlags.None,
            type,
            request.Cookie,
            offset ?? request.Offset,
            length ?? (ulong)payload.Length);
        return [.. header, .. payload];
    }

    public static byte[] None(in NbdExtendedRequestHeader request) => Chunk(request, NbdReplyType.None, []);

    /// <summary>A data chunk with the pattern that belongs there.</summary>
    public static byte[] Pattern(in NbdExtendedRequestHeader request, long offset, int length, bool done = true)
    {
        byte[] payload = new byte[NbdOffsetDataChunk.Size];
        NbdOffsetDataChunk.Write(payload, (ulong)offset);
        return Chunk(request, NbdReplyType.OffsetData, [.. payload, .. PatternData.Create(7, offset, length)], done);
    }

    public static byte[] Hole(in NbdExtendedRequestHeader request, long offset, uint length, bool done = true)
    {
        byte[] payload = new byte[NbdOffsetHoleChunk.Size];
        NbdOffsetHoleChunk.Write(payload, (ulong)offset, length);
        return Chunk(request, NbdReplyType.OffsetHole, payload, done);
    }

    public static byte[] Error(in NbdExtendedRequestHeader request, uint error, bool done = true)
    {
        byte[] payload = new byte[NbdErrorChunk.GetSize(0, withOffset: false)];
        NbdErrorChunk.WriteError(payload, error, []);
        return Chunk(request, NbdReplyType.Error, payload, done);
    }

    public static byte[] Status(in NbdExtendedRequestHeader request, uint context, bool done, params NbdBlockExtent[] extents)
    {
        byte[] payload = new byte[NbdBlockStatusChunk.GetSize(extents.Length, extended: true)];
        NbdBlockStatusChunk.Write(payload, context, extents, extended: true);
        return Chunk(request, NbdReplyType.BlockStatusExt, payload, done);
    }
}
