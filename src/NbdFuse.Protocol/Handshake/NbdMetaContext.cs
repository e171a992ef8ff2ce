using System.Buffers.Binary;
using System.Text;

namespace NbdFuse.Protocol;

/// <summary>A metadata context: the data of NBD_REP_META_CONTEXT (proto.md, "Option reply types").</summary>
/// <param name="Id">Number on this connection; means nothing in answer to NBD_OPT_LIST_META_CONTEXT.</param>
/// <param name="Name">Its name, as the server sent it: sanitise it before it is shown.</param>
public readonly record struct NbdMetaContext(uint Id, string Name)
{
    /// <summary>Bytes of the data.</summary>
    /// <exception cref="ArgumentException">The name is longer than a string may be.</exception>
    public static int GetSize(string name) => sizeof(uint) + NbdInfoReply.TextBytes(name);

    /// <summary>Writes the data.</summary>
    /// <param name="destination">Room for <see cref="GetSize"/> bytes.</param>
    /// <param name="id">Number of the context.</param>
    /// <param name="name">Name of the context.</param>
    /// <returns>Bytes written.</returns>
    public static int Write(Span<byte> destination, uint id, string name)
    {
        int size = GetSize(name);
        if (destination.Length < size)
        {
            throw new ArgumentException($"Too short: {size} bytes are needed.", nameof(destination));
        }

        BinaryPrimitives.WriteUInt32BigEndian(destination, id);
        Encoding.UTF8.GetBytes(name, destination[sizeof(uint)..]);
        return size;
    }

    /// <summary>Reads the data.</summary>
    /// <param name="data">All data of the reply.</param>
    /// <param name="context">The context; default when the data is malformed.</param>
    /// <returns>False when it is too short, or the name no legal string.</returns>
    public static bool TryRead(ReadOnlySpan<byte> data, out NbdMetaContext context)
    {
        context = default;
        if (!BinaryPrimitives.TryReadUInt32BigEndian(data, out uint id) || !NbdText.TryDecode(data[sizeof(uint)..], out string name))
        {
            return false;
        }

        context = new NbdMetaContext(id, name);
        return true;
    }
}
