using System.Buffers.Binary;

namespace NbdFuse.Protocol;

/// <summary>
/// Head of a reply chunk when extended headers were negotiated (extension-ext-header, "Extended reply chunk message"); the payload
/// follows it. No other kind of reply may come then.
/// </summary>
/// <param name="Flags">Reply flags.</param>
/// <param name="Type">Type of the chunk.</param>
/// <param name="Cookie">Cookie of the request.</param>
/// <param name="Offset">Offset of the request, echoed, in bytes.</param>
/// <param name="Length">Length of the payload in bytes. No legal one needs more than 32 bits.</param>
public readonly record struct NbdExtendedReplyHeader(
    NbdReplyFlags Flags, NbdReplyType Type, ulong Cookie, ulong Offset, ulong Length)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 32;

    /// <summary>Writes the header.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than <see cref="Size"/>.</exception>
    public static void Write(Span<byte> destination, NbdReplyFlags flags, NbdReplyType type, ulong cookie, ulong offset, ulong length)
    {
        // One check up front: a header is written whole or not at all.
        if (destination.Length < Size)
        {
            throw new ArgumentException("Too short for the header.", nameof(destination));
        }

        BinaryPrimitives.WriteUInt32BigEndian(destination, NbdMagic.ExtendedReply);
        BinaryPrimitives.WriteUInt16BigEndian(destination[4..], (ushort)flags);
        BinaryPrimitives.WriteUInt16BigEndian(destination[6..], (ushort)type);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], cookie);
        BinaryPrimitives.WriteUInt64BigEndian(destination[16..], offset);
        BinaryPrimitives.WriteUInt64BigEndian(destination[24..], length);
    }

    /// <summary>Reads the header.</summary>
    /// <returns>False when the source is shorter than <see cref="Size"/> or has another magic.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdExtendedReplyHeader header)
    {
        header = default;
        if (source.Length < Size
            || BinaryPrimitives.ReadUInt32BigEndian(source) != NbdMagic.ExtendedReply)
        {
            return false;
        }

        header = new NbdExtendedReplyHeader(
            (NbdReplyFlags)BinaryPrimitives.ReadUInt16BigEndian(source[4..]),
            (NbdReplyType)BinaryPrimitives.ReadUInt16BigEndian(source[6..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[8..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[16..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[24..]));
        return true;
    }

    /// <summary>Whether the chunk reports an error, known or not (bit 15 of the type).</summary>
    public bool IsError => ((ushort)Type & 0x8000) != 0;

    /// <summary>Whether this is the last chunk of the reply (NBD_REPLY_FLAG_DONE).</summary>
    public bool IsDone => (Flags & NbdReplyFlags.Done) != 0;
}
