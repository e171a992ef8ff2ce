using System.Buffers.Binary;

namespace NbdFuse.Protocol;

/// <summary>
/// Payload of NBD_REPLY_TYPE_ERROR and NBD_REPLY_TYPE_ERROR_OFFSET, and the start of that of every unknown error
/// type (proto.md, "Structured reply types"): error, length of a text, text, and for ERROR_OFFSET the offset behind it.
/// A view of the caller's buffer: nothing is copied.
/// </summary>
public readonly ref struct NbdErrorChunk
{
    /// <summary>Bytes before the text.</summary>
    public const int HeaderSize = 6;

    private NbdErrorChunk(uint error, ReadOnlySpan<byte> message, ulong? offset)
    {
        Error = error;
        Message = message;
        Offset = offset;
    }

    /// <summary>Error number as sent; zero is a violation, which the reader leaves to its caller.</summary>
    public uint Error { get; }

    /// <summary>The server's text as sent: sanitise it before it is shown.</summary>
    public ReadOnlySpan<byte> Message { get; }

    /// <summary>Where in the export the error happened, in bytes, or null for chunks that do not say.</summary>
    public ulong? Offset { get; }

    /// <summary>Bytes of a payload.</summary>
    /// <param name="messageBytes">Bytes of the text, 0 to 4096.</param>
    /// <param name="withOffset">Whether it is an ERROR_OFFSET.</param>
    public static int GetSize(int messageBytes, bool withOffset)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(messageBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(messageBytes, NbdLimits.MaxErrorMessageBytes);
        return HeaderSize + messageBytes + (withOffset ? sizeof(ulong) : 0);
    }

    /// <summary>Writes the payload of NBD_REPLY_TYPE_ERROR.</summary>
    /// <returns>Bytes written.</returns>
    public static int WriteError(Span<byte> destination, uint error, ReadOnlySpan<byte> message) =>
        Write(destination, error, message, null);

    /// <summary>Writes the payload of NBD_REPLY_TYPE_ERROR_OFFSET.</summary>
    /// <returns>Bytes written.</returns>
    public static int WriteErrorOffset(Span<byte> destination, uint error, ReadOnlySpan<byte> message, ulong offset) =>
        Write(destination, error, message, offset);

    /// <summary>Reads the payload of an error chunk.</summary>
    /// <param name="type">Type of the chunk; it decides whether an offset is read.</param>
    /// <param name="payload">The whole payload; what follows the known fields is ignored.</param>
    /// <param name="chunk">What it says; default when the payload is malformed.</param>
    /// <returns>False when the payload is too short for its fields: the stream is still in step, but the reply breaks the
    /// protocol.</returns>
    public static bool TryRead(NbdReplyType type, ReadOnlySpan<byte> payload, out NbdErrorChunk chunk)
    {
        chunk = default;
        if (payload.Length < HeaderSize)
        {
            return false;
        }

        uint error = BinaryPrimitives.ReadUInt32BigEndian(payload);
        int messageBytes = BinaryPrimitives.ReadUInt16BigEndian(payload[4..]);
        ReadOnlySpan<byte> rest = payload[HeaderSize..];
        if (rest.Length < messageBytes)
        {
            return false;
        }

        ulong? offset = null;
        if (type == NbdReplyType.ErrorOffset)
        {
            if (!BinaryPrimitives.TryReadUInt64BigEndian(rest[messageBytes..], out ulong value))
            {
                return false;
            }

            offset = value;
        }

        chunk = new NbdErrorChunk(error, rest[..messageBytes], offset);
        return true;
    }

    private static int Write(Span<byte> destination, uint error, ReadOnlySpan<byte> message, ulong? offset)
    {
        int size = GetSize(message.Length, offset.HasValue);
        if (destination.Length < size)
        {
            throw new ArgumentException($"Too short: {size} bytes are needed.", nameof(destination));
        }

        BinaryPrimitives.WriteUInt32BigEndian(destination, error);
        BinaryPrimitives.WriteUInt16BigEndian(destination[4..], (ushort)message.Length);
        message.CopyTo(destination[HeaderSize..]);
        if (offset is ulong value)
        {
            BinaryPrimitives.WriteUInt64BigEndian(destination[(HeaderSize + message.Length)..], value);
        }

        return size;
    }
}
