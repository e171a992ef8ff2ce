using System.Buffers.Binary;

namespace NbdFuse.Protocol;

/// <summary>Payload of NBD_REPLY_TYPE_OFFSET_HOLE (proto.md, "Structured reply types").</summary>
/// <param name="Offset">Offset of the hole in the export, in bytes.</param>
/// <param name="Length">Length of the hole in bytes; zero is a violation, which the reader leaves to its caller.</param>
public readonly record struct NbdOffsetHoleChunk(ulong Offset, uint Length)
{
    /// <summary>Bytes of the whole payload.</summary>
    public const int Size = 12;

    /// <summary>Writes the payload.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than <see cref="Size"/>.</exception>
    public static void Write(Span<byte> destination, ulong offset, uint length)
    {
        if (destination.Length < Size)
        {
            throw new ArgumentException("Too short for the chunk.", nameof(destination));
        }

        BinaryPrimitives.WriteUInt64BigEndian(destination, offset);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], length);
    }

    /// <summary>Reads the payload.</summary>
    /// <returns>False when the source is shorter than <see cref="Size"/>.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdOffsetHoleChunk chunk)
    {
        chunk = default;
        if (source.Length < Size)
        {
            return false;
        }

        chunk = new NbdOffsetHoleChunk(
            BinaryPrimitives.ReadUInt64BigEndian(source),
            BinaryPrimitives.ReadUInt32BigEndian(source[8..]));
        return true;
    }
}
