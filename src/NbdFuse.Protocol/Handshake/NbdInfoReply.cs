using System.Buffers.Binary;
using System.Text;

namespace NbdFuse.Protocol;

/// <summary>
/// Data of NBD_REP_INFO (proto.md, "Option reply types"): a 16-bit type, then what the type says. Readers take all data
/// of the reply, type included, and return false when type or length do not match; writers return the bytes written.
/// </summary>
public static class NbdInfoReply
{
    /// <summary>Bytes of the type that each begins with.</summary>
    public const int TypeBytes = sizeof(ushort);

    /// <summary>Bytes of an NBD_INFO_EXPORT.</summary>
    public const int ExportBytes = TypeBytes + sizeof(ulong) + sizeof(ushort);

    /// <summary>Bytes of an NBD_INFO_BLOCK_SIZE.</summary>
    public const int BlockSizeBytes = TypeBytes + (3 * sizeof(uint));

    /// <summary>Reads the type, which may be one that is to be ignored.</summary>
    public static bool TryReadType(ReadOnlySpan<byte> data, out NbdInfoType type)
    {
        bool complete = BinaryPrimitives.TryReadUInt16BigEndian(data, out ushort value);
        type = (NbdInfoType)value;
        return complete;
    }

    /// <summary>Reads NBD_INFO_EXPORT.</summary>
    public static bool TryReadExport(ReadOnlySpan<byte> data, out ulong size, out NbdTransmissionFlags flags)
    {
        if (data.Length != ExportBytes || !IsType(data, NbdInfoType.Export))
        {
            size = 0;
            flags = NbdTransmissionFlags.None;
            return false;
        }

        size = BinaryPrimitives.ReadUInt64BigEndian(data[TypeBytes..]);
        flags = (NbdTransmissionFlags)BinaryPrimitives.ReadUInt16BigEndian(data[(TypeBytes + sizeof(ulong))..]);
        return true;
    }

    /// <summary>Reads NBD_INFO_NAME strictly: the name may be asked for later.</summary>
    public static bool TryReadName(ReadOnlySpan<byte> data, out string name)
    {
        name = string.Empty;
        return IsType(data, NbdInfoType.Name) && NbdText.TryDecode(data[TypeBytes..], out name);
    }

    /// <summary>Reads NBD_INFO_DESCRIPTION, without its control characters.</summary>
    public static bool TryReadDescription(ReadOnlySpan<byte> data, out string description)
    {
        bool valid = IsType(data, NbdInfoType.Description) && data.Length - TypeBytes <= NbdLimits.MaxStringBytes;
        description = valid ? NbdText.Sanitize(data[TypeBytes..], NbdLimits.MaxStringBytes) : string.Empty;
        return valid;
    }

    /// <summary>Reads NBD_INFO_BLOCK_SIZE; whether the sizes are valid is up to <see cref="NbdBlockSizes"/>.</summary>
    public static bool TryReadBlockSize(
        ReadOnlySpan<byte> data, out uint minimum, out uint preferred, out uint maximum)
    {
        if (data.Length != BlockSizeBytes || !IsType(data, NbdInfoType.BlockSize))
        {
            minimum = preferred = maximum = 0;
            return false;
        }

        minimum = BinaryPrimitives.ReadUInt32BigEndian(data[TypeBytes..]);
        preferred = BinaryPrimitives.ReadUInt32BigEndian(data[(TypeBytes + 4)..]);
        maximum = BinaryPrimitives.ReadUInt32BigEndian(data[(TypeBytes + 8)..]);
        return true;
    }

    /// <summary>Writes NBD_INFO_EXPORT.</summary>
    public static int WriteExport(Span<byte> destination, ulong size, NbdTransmissionFlags flags)
    {
        Begin(destination, ExportBytes, NbdInfoType.Export);
        BinaryPrimitives.WriteUInt64BigEndian(destination[TypeBytes..], size);
        BinaryPrimitives.WriteUInt16BigEndian(destination[(TypeBytes + sizeof(ulong))..], (ushort)flags);
        return ExportBytes;
    }

    /// <summary>Bytes of an NBD_INFO_NAME or NBD_INFO_DESCRIPTION.</summary>
    /// <exception cref="ArgumentException">The text is longer than a string may be.</exception>
    public static int TextSize(string text) => TypeBytes + TextBytes(text);

    /// <summary>Writes NBD_INFO_NAME.</summary>
    public static int WriteName(Span<byte> destination, string name) =>
        WriteText(destination, NbdInfoType.Name, name);

    /// <summary>Writes NBD_INFO_DESCRIPTION.</summary>
    public static int WriteDescription(Span<byte> destination, string description) =>
        WriteText(destination, NbdInfoType.Description, description);

    /// <summary>Writes NBD_INFO_BLOCK_SIZE, also sizes that are not valid.</summary>
    public static int WriteBlockSize(Span<byte> destination, uint minimum, uint preferred, uint maximum)
    {
        Begin(destination, BlockSizeBytes, NbdInfoType.BlockSize);
        BinaryPrimitives.WriteUInt32BigEndian(destination[TypeBytes..], minimum);
        BinaryPrimitives.WriteUInt32BigEndian(destination[(TypeBytes + 4)..], preferred);
        BinaryPrimitives.WriteUInt32BigEndian(destination[(TypeBytes + 8)..], maximum);
        return BlockSizeBytes;
    }

    internal static int TextBytes(string text)
    {
        int bytes = Encoding.UTF8.GetByteCount(text);
        return bytes <= NbdLimits.MaxStringBytes
            ? bytes
            : throw new ArgumentException($"The text has {bytes} bytes, {NbdLimits.MaxStringBytes} are allowed.", nameof(text));
    }

    private static int WriteText(Span<byte> destination, NbdInfoType type, string text)
    {
        int size = TextSize(text);
        Begin(destination, size, type);
        Encoding.UTF8.GetBytes(text, destination[TypeBytes..]);
        return size;
    }

    private static void Begin(Span<byte> destination, int size, NbdInfoType type)
    {
        if (destination.Length < size)
        {
            throw new ArgumentException($"Too short: {size} bytes are needed.", nameof(destination));
        }

        BinaryPrimitives.WriteUInt16BigEndian(destination, (ushort)type);
    }

    private static bool IsType(ReadOnlySpan<byte> data, NbdInfoType type) =>
        TryReadType(data, out NbdInfoType seen) && seen == type;
}
