using System.Buffers.Binary;

namespace NbdFuse.Protocol;

/// <summary>Head of an option, client to server (proto.md, "Newstyle negotiation"); its data follows.</summary>
/// <param name="Option">The option.</param>
/// <param name="Length">Length of the data in bytes.</param>
public readonly record struct NbdOptionHeader(NbdOption Option, uint Length)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 16;

    /// <summary>Writes the header.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than <see cref="Size"/>.</exception>
    public static void Write(Span<byte> destination, NbdOption option, uint length)
    {
        // One check up front: a header is written whole or not at all.
        if (destination.Length < Size)
        {
            throw new ArgumentException("Too short for the header.", nameof(destination));
        }

        BinaryPrimitives.WriteUInt64BigEndian(destination, NbdMagic.Option);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], (uint)option);
        BinaryPrimitives.WriteUInt32BigEndian(destination[12..], length);
    }

    /// <summary>Reads the header.</summary>
    /// <returns>False when the source is shorter than <see cref="Size"/> or has another magic.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdOptionHeader header)
    {
        header = default;
        if (source.Length < Size
            || BinaryPrimitives.ReadUInt64BigEndian(source) != NbdMagic.Option)
        {
            return false;
        }

        header = new NbdOptionHeader(
            (NbdOption)BinaryPrimitives.ReadUInt32BigEndian(source[8..]),
            BinaryPrimitives.ReadUInt32BigEndian(source[12..]));
        return true;
    }
}
