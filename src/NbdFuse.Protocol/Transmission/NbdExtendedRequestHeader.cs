using System.Buffers.Binary;

namespace NbdFuse.Protocol;

/// <summary>
/// A request when extended headers were negotiated (extension-ext-header, "Request message"). A payload follows it only with
/// <see cref="NbdCommandFlags.PayloadLen"/>; <paramref name="Length"/> counts that payload then, and otherwise the bytes of the
/// export that the command is about.
/// </summary>
/// <param name="Flags">Command flags.</param>
/// <param name="Command">What to do.</param>
/// <param name="Cookie">Chosen by the client, distinct among those in flight, opaque to the server.</param>
/// <param name="Offset">Offset in bytes.</param>
/// <param name="Length">Length in bytes, of the payload or of the effect.</param>
public readonly record struct NbdExtendedRequestHeader(
    NbdCommandFlags Flags, NbdCommand Command, ulong Cookie, ulong Offset, ulong Length)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 32;

    /// <summary>Whether a payload of <see cref="Length"/> bytes follows.</summary>
    public bool HasPayload => (Flags & NbdCommandFlags.PayloadLen) != 0;

    /// <summary>Writes the header.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than <see cref="Size"/>.</exception>
    public static void Write(Span<byte> destination, NbdCommandFlags flags, NbdCommand command, ulong cookie, ulong offset, ulong length)
    {
        // One check up front: a header is written whole or not at all.
        if (destination.Length < Size)
        {
            throw new ArgumentException("Too short for the header.", nameof(destination));
        }

        BinaryPrimitives.WriteUInt32BigEndian(destination, NbdMagic.ExtendedRequest);
        BinaryPrimitives.WriteUInt16BigEndian(destination[4..], (ushort)flags);
        BinaryPrimitives.WriteUInt16BigEndian(destination[6..], (ushort)command);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], cookie);
        BinaryPrimitives.WriteUInt64BigEndian(destination[16..], offset);
        BinaryPrimitives.WriteUInt64BigEndian(destination[24..], length);
    }

    /// <summary>Reads the header.</summary>
    /// <returns>False when the source is shorter than <see cref="Size"/> or has another magic.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdExtendedRequestHeader header)
    {
        header = default;
        if (source.Length < Size
            || BinaryPrimitives.ReadUInt32BigEndian(source) != NbdMagic.ExtendedRequest)
        {
            return false;
        }

        header = new NbdExtendedRequestHeader(
            (NbdCommandFlags)BinaryPrimitives.ReadUInt16BigEndian(source[4..]),
            (NbdCommand)BinaryPrimitives.ReadUInt16BigEndian(source[6..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[8..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[16..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[24..]));
        return true;
    }
}
