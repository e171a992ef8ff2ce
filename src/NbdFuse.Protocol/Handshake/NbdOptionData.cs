using System.Buffers.Binary;
using System.Text;

namespace NbdFuse.Protocol;

/// <summary>Data of the options that have any (proto.md, "Option types"). Writers return the bytes written.</summary>
public static class NbdOptionData
{
    // Length of the name and number of information requests.
    private const int GoFixedSize = sizeof(uint) + sizeof(ushort);

    /// <summary>Bytes of data of NBD_OPT_GO or NBD_OPT_INFO.</summary>
    /// <param name="exportName">A name that <see cref="NbdText.IsValidExportName"/> accepts.</param>
    /// <param name="infoCount">Number of information requests, 0 to 65535.</param>
    public static int GoSize(string exportName, int infoCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(infoCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(infoCount, ushort.MaxValue);
        return GoFixedSize + ExportNameSize(exportName) + (infoCount * sizeof(ushort));
    }

    /// <summary>Writes the data of NBD_OPT_GO or NBD_OPT_INFO.</summary>
    /// <param name="destination">Room for <see cref="GoSize"/> bytes.</param>
    /// <param name="exportName">A name that <see cref="NbdText.IsValidExportName"/> accepts.</param>
    /// <param name="infos">
    /// What to ask for, nothing twice. To ask for <see cref="NbdInfoType.BlockSize"/> is a promise to obey the answer.
    /// </param>
    public static int WriteGo(Span<byte> destination, string exportName, ReadOnlySpan<NbdInfoType> infos)
    {
        int size = GoSize(exportName, infos.Length);
        Require(destination, size);
        int nameSize = WriteExportName(destination[sizeof(uint)..], exportName);
        BinaryPrimitives.WriteUInt32BigEndian(destination, (uint)nameSize);
        Span<byte> rest = destination[(sizeof(uint) + nameSize)..];
        BinaryPrimitives.WriteUInt16BigEndian(rest, (ushort)infos.Length);
        foreach (NbdInfoType info in infos)
        {
            rest = rest[sizeof(ushort)..];
            BinaryPrimitives.WriteUInt16BigEndian(rest, (ushort)info);
        }

        return size;
    }

    /// <summary>Reads the data of NBD_OPT_GO or NBD_OPT_INFO.</summary>
    /// <param name="data">All data of the option.</param>
    /// <param name="exportName">The name asked for.</param>
    /// <param name="infos">What was asked for, unknown types included.</param>
    /// <returns>False when a length lies, bytes are left over, or the name is no legal string.</returns>
    public static bool TryReadGo(ReadOnlySpan<byte> data, out string exportName, out NbdInfoType[] infos)
    {
        exportName = string.Empty;
        infos = [];
        if (data.Length < GoFixedSize)
        {
            return false;
        }

        uint nameSize = BinaryPrimitives.ReadUInt32BigEndian(data);
        if (nameSize > data.Length - GoFixedSize)
        {
            return false;
        }

        ReadOnlySpan<byte> name = data.Slice(sizeof(uint), (int)nameSize);
        ReadOnlySpan<byte> rest = data[(sizeof(uint) + (int)nameSize)..];
        int count = BinaryPrimitives.ReadUInt16BigEndian(rest);
        rest = rest[sizeof(ushort)..];
        if (rest.Length != count * sizeof(ushort) || !NbdText.TryDecode(name, out exportName))
        {
            return false;
        }

        infos = new NbdInfoType[count];
        for (int i = 0; i < count; i++)
        {
            infos[i] = (NbdInfoType)BinaryPrimitives.ReadUInt16BigEndian(rest[(i * sizeof(ushort))..]);
        }

        return true;
    }

    /// <summary>Bytes of data of NBD_OPT_EXPORT_NAME.</summary>
    /// <exception cref="ArgumentException">The name cannot be sent.</exception>
    public static int ExportNameSize(string exportName)
    {
        if (!NbdText.IsValidExportName(exportName, out string? error))
        {
            throw new ArgumentException(error, nameof(exportName));
        }

        return Encoding.UTF8.GetByteCount(exportName);
    }

    /// <summary>Writes the data of NBD_OPT_EXPORT_NAME: the name alone.</summary>
    public static int WriteExportName(Span<byte> destination, string exportName)
    {
        Require(destination, ExportNameSize(exportName));
        return Encoding.UTF8.GetBytes(exportName, destination);
    }

    /// <summary>Reads the data of NBD_OPT_EXPORT_NAME.</summary>
    /// <returns>False when the name is no legal string.</returns>
    public static bool TryReadExportName(ReadOnlySpan<byte> data, out string exportName) =>
        NbdText.TryDecode(data, out exportName);

    private static void Require(Span<byte> destination, int size)
    {
        if (destination.Length < size)
        {
            throw new ArgumentException($"Too short: {size} bytes are needed.", nameof(destination));
        }
    }
}
