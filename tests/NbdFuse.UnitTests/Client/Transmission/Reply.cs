using NbdFuse.Protocol;
using NbdFuse.TestKit;

namespace NbdFuse.UnitTests.Client.Transmission;

/// <summary>Bytes of replies, right and wrong ones.</summary>
internal static class Reply
{
    public static byte[] Simple(ulong cookie, uint error = 0, byte[]? data = null)
    {
        byte[] header = new byte[NbdSimpleReplyHeader.Size];
        NbdSimpleReplyHeader.Write(header, error, cookie);
        return data is null ? header : [.. header, .. data];
    }

    public static byte[] Chunk(ulong cookie, NbdReplyType type, int flags, byte[] payload, uint? length = null)
    {
        byte[] header = new byte[NbdStructuredReplyHeader.Size];
        NbdStructuredReplyHeader.Write(header, (NbdReplyFlags)flags, type, cookie, length ?? (uint)payload.Length);
        return [.. header, .. payload];
    }

    public static byte[] None(ulong cookie, bool done = true) => Chunk(cookie, NbdReplyType.None, done ? 1 : 0, []);

    public static byte[] Data(ulong cookie, long offset, byte[] data, bool done = false)
    {
        byte[] payload = new byte[NbdOffsetDataChunk.Size];
        NbdOffsetDataChunk.Write(payload, (ulong)offset);
        return Chunk(cookie, NbdReplyType.OffsetData, done ? 1 : 0, [.. payload, .. data]);
    }

    /// <summary>A data chunk with the pattern that belongs there.</summary>
    public static byte[] Pattern(ulong cookie, long offset, int length, bool done = false) =>
        Data(cookie, offset, PatternData.Create(7, offset, length), done);

    public static byte[] Hole(ulong cookie, long offset, uint length, bool done = false)
    {
        byte[] payload = new byte[NbdOffsetHoleChunk.Size];
        NbdOffsetHoleChunk.Write(payload, (ulong)offset, length);
        return Chunk(cookie, NbdReplyType.OffsetHole, done ? 1 : 0, payload);
    }

    public static byte[] Error(ulong cookie, uint error, string message = "", bool done = true, NbdReplyType type = NbdReplyType.Error) =>
        Chunk(cookie, type, done ? 1 : 0, ErrorPayload(error, message, null));

    public static byte[] ErrorOffset(ulong cookie, uint error, long offset, bool done = true) =>
        Chunk(cookie, NbdReplyType.ErrorOffset, done ? 1 : 0, ErrorPayload(error, "bad", (ulong)offset));

    private static byte[] ErrorPayload(uint error, string message, ulong? offset)
    {
        byte[] text = System.Text.Encoding.UTF8.GetBytes(message);
        byte[] payload = new byte[NbdErrorChunk.GetSize(text.Length, offset.HasValue)];
        if (offset is ulong at)
        {
            NbdErrorChunk.WriteErrorOffset(payload, error, text, at);
        }
        else
        {
            NbdErrorChunk.WriteError(payload, error, text);
        }

        return payload;
    }
}
