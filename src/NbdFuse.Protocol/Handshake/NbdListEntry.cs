using System.Buffers.Binary;
using System.Text;

namespace NbdFuse.Protocol;

/// <summary>One export of NBD_OPT_LIST: the data of NBD_REP_SERVER (proto.md, "Option reply types").</summary>
/// <param name="Name">
/// Name of the export, exactly as it must be asked for: sanitise it before it is shown. Empty is the default export.
/// </param>
/// <param name="Description">Text for humans, without control characters, or null when there was none.</param>
public readonly record struct NbdListEntry(string Name, string? Description)
{
    /// <summary>Bytes of an entry.</summary>
    public static int GetSize(string name, string? description) =>
        sizeof(uint) + NbdOptionData.ExportNameSize(name) + NbdInfoReply.TextBytes(description ?? string.Empty);

    /// <summary>Writes an entry.</summary>
    /// <param name="destination">Room for <see cref="GetSize"/> bytes.</param>
    /// <param name="name">Name of the export.</param>
    /// <param name="description">Text for humans, or null.</param>
    /// <returns>Bytes written.</returns>
    public static int Write(Span<byte> destination, string name, string? description)
    {
        int size = GetSize(name, description);
        if (destination.Length < size)
        {
            throw new ArgumentException($"Too short: {size} bytes are needed.", nameof(destination));
        }

        int nameSize = NbdOptionData.WriteExportName(destination[sizeof(uint)..], name);
        BinaryPrimitives.WriteUInt32BigEndian(destination, (uint)nameSize);
        Encoding.UTF8.GetBytes(description ?? string.Empty, destination[(sizeof(uint) + nameSize)..]);
        return size;
    }

    /// <summary>Reads an entry.</summary>
    /// <param name="data">All data of the reply.</param>
    /// <param name="entry">The entry; default when the data is malformed.</param>
    /// <returns>False when the name's length lies, or the name or description is longer than a string may be, or
    /// the name is no legal string.</returns>
    public static bool TryRead(ReadOnlySpan<byte> data, out NbdListEntry entry)
    {
        entry = default;
        if (!BinaryPrimitives.TryReadUInt32BigEndian(data, out uint nameSize) || nameSize > data.Length - sizeof(uint))
        {
            return false;
        }

        ReadOnlySpan<byte> description = data[(sizeof(uint) + (int)nameSize)..];
        if (description.Length > NbdLimits.MaxStringBytes
            || !NbdText.TryDecode(data.Slice(sizeof(uint), (int)nameSize), out string name))
        {
            return false;
        }

        entry = new NbdListEntry(
            name,
            description.IsEmpty ? null : NbdText.Sanitize(description, NbdLimits.MaxStringBytes));
        return true;
    }
}
