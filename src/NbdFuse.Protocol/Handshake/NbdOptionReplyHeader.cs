using System.Buffers.Binary;

namespace NbdFuse.Protocol;

/// <summary>Head of a reply to an option (proto.md, "Fixed newstyle negotiation"); its data follows.</summary>
/// <param name="Option">The option, echoed.</param>
/// <param name="Type">Type of the reply.</param>
/// <param name="Length">Length of the data in bytes.</param>
public readonly record struct NbdOptionReplyHeader(NbdOption Option, NbdOptionReplyType Type, uint Length)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 20;

    /// <summary>Writes the header.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than <see cref="Size"/>.</exception>
    public static void Write(Span<byte> destination, NbdOption option, NbdOptionReplyType type, uint length)
    {
        // One check up front: a header is written whole or not at all.
        if (destination.Length < Size)
        {
            throw new ArgumentException("Too short for the header.", nameof(destination));
        }

        BinaryPrimitives.WriteUInt64BigEndian(destination, NbdMagic.OptionReply);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], (uint)option);
        BinaryPrimitives.WriteUInt32BigEndian(destination[12..], (uint)type);
        BinaryPrimitives.WriteUInt32BigEndian(destination[16..], length);
    }

    /// <summary>Reads the header.</summary>
    /// <returns>False when the source is shorter than <see cref="Size"/> or has another magic.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdOptionReplyHeader header)
    {
        header = default;
        if (source.Length < Size
            || BinaryPrimitives.ReadUInt64BigEndian(source) != NbdMagic.OptionReply)
        {
            return false;
        }

        header = new NbdOptionReplyHeader(
            (NbdOption)BinaryPrimitives.ReadUInt32BigEndian(source[8..]),
            (NbdOptionReplyType)BinaryPrimitives.ReadUInt32BigEndian(source[12..]),
            BinaryPrimitives.ReadUInt32BigEndian(source[16..]));
        return true;
    }

    /// <summary>Whether the reply is an error, known or not (bit 31 of the type).</summary>
    public bool IsError => ((uint)Type & 0x8000_0000) != 0;
}
