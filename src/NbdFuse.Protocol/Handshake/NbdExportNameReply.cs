using System.Buffers.Binary;

namespace NbdFuse.Protocol;

/// <summary>
/// Answer to NBD_OPT_EXPORT_NAME (proto.md, "Newstyle negotiation"): it has no magic, and 124 zeroes follow it unless
/// both sides agreed on NBD_FLAG_NO_ZEROES.
/// </summary>
/// <param name="ExportSize">Size of the export in bytes.</param>
/// <param name="Flags">Transmission flags.</param>
public readonly record struct NbdExportNameReply(ulong ExportSize, NbdTransmissionFlags Flags)
{
    /// <summary>Bytes on the wire, zeroes excluded.</summary>
    public const int Size = 10;

    /// <summary>Number of zeroes after it when NBD_FLAG_NO_ZEROES was not agreed on.</summary>
    public const int ZeroesSize = 124;

    /// <summary>Bytes on the wire, zeroes included.</summary>
    public const int SizeWithZeroes = Size + ZeroesSize;

    /// <summary>Writes the answer.</summary>
    /// <param name="destination">Room for <see cref="Size"/> or <see cref="SizeWithZeroes"/> bytes.</param>
    /// <param name="exportSize">Size of the export in bytes.</param>
    /// <param name="flags">Transmission flags.</param>
    /// <param name="withZeroes">Whether the 124 zeroes are to follow.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="ArgumentException">The destination is too short.</exception>
    public static int Write(Span<byte> destination, ulong exportSize, NbdTransmissionFlags flags, bool withZeroes)
    {
        int size = withZeroes ? SizeWithZeroes : Size;
        if (destination.Length < size)
        {
            throw new ArgumentException("Too short for the reply.", nameof(destination));
        }

        BinaryPrimitives.WriteUInt64BigEndian(destination, exportSize);
        BinaryPrimitives.WriteUInt16BigEndian(destination[8..], (ushort)flags);
        destination[Size..size].Clear();
        return size;
    }

    /// <summary>Reads the answer; the zeroes are not looked at.</summary>
    /// <returns>False when the source is shorter than <see cref="Size"/>.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdExportNameReply reply)
    {
        reply = default;
        if (source.Length < Size)
        {
            return false;
        }

        reply = new NbdExportNameReply(
            BinaryPrimitives.ReadUInt64BigEndian(source),
            (NbdTransmissionFlags)BinaryPrimitives.ReadUInt16BigEndian(source[8..]));
        return true;
    }
}
