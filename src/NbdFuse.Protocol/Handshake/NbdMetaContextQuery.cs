using System.Buffers.Binary;
using System.Text;

namespace NbdFuse.Protocol;

/// <summary>
/// Data of NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT (proto.md, "Option types"): the export, and queries.
/// </summary>
public static class NbdMetaContextQuery
{
    /// <summary>Bytes of the data.</summary>
    /// <param name="exportName">A name that <see cref="NbdText.IsValidExportName"/> accepts.</param>
    /// <param name="queries">The queries; none lists all contexts, or selects none.</param>
    /// <exception cref="ArgumentException">The name or a query cannot be sent.</exception>
    public static int GetSize(string exportName, IReadOnlyList<string> queries)
    {
        int size = (2 * sizeof(uint)) + NbdOptionData.ExportNameSize(exportName);
        for (int i = 0; i < queries.Count; i++)
        {
            size += sizeof(uint) + NbdInfoReply.TextBytes(queries[i]);
        }

        return size;
    }

    /// <summary>Writes the data.</summary>
    /// <param name="destination">Room for <see cref="GetSize"/> bytes.</param>
    /// <param name="exportName">The name that NBD_OPT_GO will ask for.</param>
    /// <param name="queries">The queries.</param>
    /// <returns>Bytes written.</returns>
    public static int Write(Span<byte> destination, string exportName, IReadOnlyList<string> queries)
    {
        int size = GetSize(exportName, queries);
        if (destination.Length < size)
        {
            throw new ArgumentException($"Too short: {size} bytes are needed.", nameof(destination));
        }

        Span<byte> rest = destination;
        Put(ref rest, exportName);
        BinaryPrimitives.WriteUInt32BigEndian(rest, (uint)queries.Count);
        rest = rest[sizeof(uint)..];
        for (int i = 0; i < queries.Count; i++)
        {
            Put(ref rest, queries[i]);
        }

        return size;
    }

    /// <summary>Reads the data.</summary>
    /// <param name="data">All data of the option.</param>
    /// <param name="exportName">The name asked for.</param>
    /// <param name="queries">The queries, whatever their form.</param>
    /// <returns>False when a length lies, bytes are left over, or a text is no legal string.</returns>
    public static bool TryRead(ReadOnlySpan<byte> data, out string exportName, out string[] queries)
    {
        queries = [];
        if (!TryTake(ref data, out exportName) || !BinaryPrimitives.TryReadUInt32BigEndian(data, out uint count))
        {
            exportName = string.Empty;
            return false;
        }

        data = data[sizeof(uint)..];

        // Each query has at least its length: a count that lies must not allocate.
        if (count > data.Length / sizeof(uint))
        {
            exportName = string.Empty;
            return false;
        }

        string[] result = new string[count];
        for (int i = 0; i < result.Length; i++)
        {
            if (!TryTake(ref data, out result[i]))
            {
                exportName = string.Empty;
                return false;
            }
        }

        if (!data.IsEmpty)
        {
            exportName = string.Empty;
            return false;
        }

        queries = result;
        return true;
    }

    private static void Put(ref Span<byte> rest, string text)
    {
        int bytes = Encoding.UTF8.GetBytes(text, rest[sizeof(uint)..]);
        BinaryPrimitives.WriteUInt32BigEndian(rest, (uint)bytes);
        rest = rest[(sizeof(uint) + bytes)..];
    }

    private static bool TryTake(ref ReadOnlySpan<byte> rest, out string text)
    {
        text = string.Empty;
        if (!BinaryPrimitives.TryReadUInt32BigEndian(rest, out uint length) || length > rest.Length - sizeof(uint))
        {
            return false;
        }

        if (!NbdText.TryDecode(rest.Slice(sizeof(uint), (int)length), out text))
        {
            return false;
        }

        rest = rest[(sizeof(uint) + (int)length)..];
        return true;
    }
}
