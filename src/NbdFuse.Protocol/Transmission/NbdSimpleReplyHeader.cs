using System.Buffers.Binary;

namespace NbdFuse.Protocol;

/// <summary>A simple reply (proto.md, "Simple reply message"); the data of a successful READ follows it.</summary>
/// <param name="Error">Error number as sent, see <see cref="NbdErrors.Normalize"/>; zero is success.</param>
/// <param name="Cookie">Cookie of the request.</param>
public readonly record struct NbdSimpleReplyHeader(uint Error, ulong Cookie)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 16;

    /// <summary>Writes the header.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than <see cref="Size"/>.</exception>
    public static void Write(Span<byte> destination, uint error, ulong cookie)
    {
        // One check up front: a header is written whole or not at all.
        if (destination.Length < Size)
        {
            throw new ArgumentException("Too short for the header.", nameof(destination));
        }

        BinaryPrimitives.WriteUInt32BigEndian(destination, NbdMagic.SimpleReply);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], error);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], cookie);
    }

    /// <summary>Reads the header.</summary>
    /// <returns>False when the source is shorter than <see cref="Size"/> or has another magic.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdSimpleReplyHeader header)
    {
        header = default;
        if (source.Length < Size
            || BinaryPrimitives.ReadUInt32BigEndian(source) != NbdMagic.SimpleReply)
        {
            return false;
        }

        header = new NbdSimpleReplyHeader(
            BinaryPrimitives.ReadUInt32BigEndian(source[4..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[8..]));
        return true;
    }
}
