using System.Buffers.Binary;

namespace NbdFuse.Protocol;

/// <summary>
/// Payload of NBD_REPLY_TYPE_BLOCK_STATUS (proto.md, "Structured reply types") or NBD_REPLY_TYPE_BLOCK_STATUS_EXT
/// (extension-ext-header): a context, and the extents from the offset of the request on, one after the other.
/// A view of the caller's buffer: nothing is copied.
/// </summary>
public readonly ref struct NbdBlockStatusChunk
{
    private readonly ReadOnlySpan<byte> _descriptors;
    private readonly bool _extended;

    private NbdBlockStatusChunk(uint contextId, ReadOnlySpan<byte> descriptors, bool extended)
    {
        ContextId = contextId;
        _descriptors = descriptors;
        _extended = extended;
    }

    /// <summary>The context, as the server numbered it on this connection.</summary>
    public uint ContextId { get; }

    /// <summary>Number of extents, 1 or more.</summary>
    public int Count => _descriptors.Length / DescriptorSize(_extended);

    /// <summary>An extent.</summary>
    /// <param name="index">0 to <see cref="Count"/> - 1.</param>
    public NbdBlockExtent this[int index] => ReadDescriptor(_descriptors[(index * DescriptorSize(_extended))..], _extended);

    /// <summary>Bytes before the descriptors.</summary>
    /// <param name="extended">Whether the chunk is a BLOCK_STATUS_EXT.</param>
    public static int HeaderSize(bool extended) => extended ? 8 : 4;

    /// <summary>Bytes of one descriptor.</summary>
    /// <param name="extended">Whether the chunk is a BLOCK_STATUS_EXT.</param>
    public static int DescriptorSize(bool extended) => extended ? 16 : 8;

    /// <summary>Bytes of a payload.</summary>
    /// <param name="count">Number of extents, 1 to <see cref="NbdLimits.MaxBlockStatusExtents"/>.</param>
    /// <param name="extended">Whether the chunk is a BLOCK_STATUS_EXT.</param>
    public static int GetSize(int count, bool extended)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, NbdLimits.MaxBlockStatusExtents);
        return HeaderSize(extended) + (count * DescriptorSize(extended));
    }

    /// <summary>
    /// Whether a payload may have this length: a header and a positive number of whole descriptors, no more than
    /// <see cref="NbdLimits.MaxBlockStatusExtents"/>.
    /// </summary>
    /// <param name="length">Length of the payload in bytes, as the chunk's header announced it.</param>
    /// <param name="extended">Whether the chunk is a BLOCK_STATUS_EXT.</param>
    public static bool IsValidLength(ulong length, bool extended)
    {
        ulong header = (ulong)HeaderSize(extended);
        ulong descriptor = (ulong)DescriptorSize(extended);
        return length > header
            && (length - header) % descriptor == 0
            && (length - header) / descriptor <= NbdLimits.MaxBlockStatusExtents;
    }

    /// <summary>Writes the payload.</summary>
    /// <param name="destination">Room for <see cref="GetSize"/> bytes.</param>
    /// <param name="contextId">The context.</param>
    /// <param name="extents">The extents; lengths and status of 32 bits unless <paramref name="extended"/>.</param>
    /// <param name="extended">Whether to write a BLOCK_STATUS_EXT.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="ArgumentException">The destination is too short.</exception>
    /// <exception cref="OverflowException">A number does not fit.</exception>
    public static int Write(Span<byte> destination, uint contextId, ReadOnlySpan<NbdBlockExtent> extents, bool extended)
    {
        int size = GetSize(extents.Length, extended);
        if (destination.Length < size)
        {
            throw new ArgumentException($"Too short: {size} bytes are needed.", nameof(destination));
        }

        Span<byte> rest = destination[HeaderSize(extended)..];
        foreach (NbdBlockExtent extent in extents)
        {
            if (extended)
            {
                BinaryPrimitives.WriteUInt64BigEndian(rest, extent.Length);
                BinaryPrimitives.WriteUInt64BigEndian(rest[8..], extent.Status);
            }
            else
            {
                BinaryPrimitives.WriteUInt32BigEndian(rest, checked((uint)extent.Length));
                BinaryPrimitives.WriteUInt32BigEndian(rest[4..], checked((uint)extent.Status));
            }

            rest = rest[DescriptorSize(extended)..];
        }

        // Last: numbers that do not fit leave no header that looks whole.
        BinaryPrimitives.WriteUInt32BigEndian(destination, contextId);
        if (extended)
        {
            BinaryPrimitives.WriteUInt32BigEndian(destination[4..], (uint)extents.Length);
        }

        return size;
    }

    /// <summary>Reads the payload.</summary>
    /// <param name="payload">The whole payload.</param>
    /// <param name="extended">Whether the chunk is a BLOCK_STATUS_EXT.</param>
    /// <param name="chunk">What it says; default when it is malformed.</param>
    /// <returns>False when the length is none of a block status chunk, or the number of descriptors lies.</returns>
    public static bool TryRead(ReadOnlySpan<byte> payload, bool extended, out NbdBlockStatusChunk chunk)
    {
        chunk = default;
        if (!IsValidLength((ulong)payload.Length, extended))
        {
            return false;
        }

        ReadOnlySpan<byte> descriptors = payload[HeaderSize(extended)..];
        if (!TryReadHeader(payload, extended, payload.Length, out uint contextId))
        {
            return false;
        }

        chunk = new NbdBlockStatusChunk(contextId, descriptors, extended);
        return true;
    }

    /// <summary>Reads what stands before the descriptors, for those who take them one by one.</summary>
    /// <param name="source">At least <see cref="HeaderSize"/> bytes.</param>
    /// <param name="extended">Whether the chunk is a BLOCK_STATUS_EXT.</param>
    /// <param name="payloadLength">Length of the whole payload in bytes, which <see cref="IsValidLength"/> accepts.</param>
    /// <param name="contextId">The context.</param>
    /// <returns>False when the source is too short or the number of descriptors lies.</returns>
    public static bool TryReadHeader(ReadOnlySpan<byte> source, bool extended, int payloadLength, out uint contextId)
    {
        contextId = 0;
        if (source.Length < HeaderSize(extended))
        {
            return false;
        }

        uint count = (uint)((payloadLength - HeaderSize(extended)) / DescriptorSize(extended));
        if (extended && BinaryPrimitives.ReadUInt32BigEndian(source[4..]) != count)
        {
            return false;
        }

        contextId = BinaryPrimitives.ReadUInt32BigEndian(source);
        return true;
    }

    /// <summary>Reads one descriptor.</summary>
    /// <param name="source">At least <see cref="DescriptorSize"/> bytes.</param>
    /// <param name="extended">Whether the chunk is a BLOCK_STATUS_EXT.</param>
    public static NbdBlockExtent ReadDescriptor(ReadOnlySpan<byte> source, bool extended) => extended
        ? new NbdBlockExtent(BinaryPrimitives.ReadUInt64BigEndian(source), BinaryPrimitives.ReadUInt64BigEndian(source[8..]))
        : new NbdBlockExtent(BinaryPrimitives.ReadUInt32BigEndian(source), BinaryPrimitives.ReadUInt32BigEndian(source[4..]));
}
