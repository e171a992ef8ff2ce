using System.Buffers.Binary;

namespace NbdFuse.Protocol;

/// <summary>
/// Head of the payload of NBD_REPLY_TYPE_OFFSET_DATA (proto.md, "Structured reply types"); the data follows it.
/// </summary>
/// <param name="Offset">Offset of the data in the export, in bytes.</param>
public readonly record struct NbdOffsetDataChunk(ulong Offset)
{
    /// <summary>Bytes before the data. The whole payload is longer: at least one byte of data follows.</summary>
    public const int Size = 8;

    /// <summary>Writes the head.</summary>
    public static void Write(Span<byte> destination, ulong offset) =>
        BinaryPrimitives.WriteUInt64BigEndian(destination, offset);

    /// <summary>Reads the head.</summary>
    /// <returns>False when the source is shorter than <see cref="Size"/>.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdOffsetDataChunk chunk)
    {
        bool complete = BinaryPrimitives.TryReadUInt64BigEndian(source, out ulong offset);
        chunk = new NbdOffsetDataChunk(offset);
        return complete;
    }
}
