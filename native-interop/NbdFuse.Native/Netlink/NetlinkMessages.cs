using System.Runtime.InteropServices;

namespace NbdFuse.Native.Netlink;

/// <summary>Walks over the messages of a datagram. Every length is checked; the walk ends at the first that is wrong.</summary>
/// <param name="datagram">What was received.</param>
public ref struct NetlinkMessages(ReadOnlySpan<byte> datagram)
{
    private ReadOnlySpan<byte> _rest = datagram;

    /// <summary>Header of the current message.</summary>
    public NetlinkHeader Header { get; private set; }

    /// <summary>What follows the header of the current message.</summary>
    public ReadOnlySpan<byte> Payload { get; private set; }

    /// <summary>Whether the walk ended at something that is no message.</summary>
    public bool IsMalformed { get; private set; }

    /// <summary>Goes to the next message.</summary>
    /// <returns>False at the end, and at what is malformed.</returns>
    public bool MoveNext()
    {
        int size = Marshal.SizeOf<NetlinkHeader>();
        if (_rest.IsEmpty)
        {
            return false;
        }

        if (_rest.Length < size)
        {
            IsMalformed = true;
            return false;
        }

        Header = MemoryMarshal.Read<NetlinkHeader>(_rest);
        if (Header.Length < size || Header.Length > _rest.Length)
        {
            IsMalformed = true;
            return false;
        }

        int length = (int)Header.Length;
        Payload = _rest[size..length];

        // The last message needs no padding.
        _rest = _rest[Math.Min(_rest.Length, (length + 3) & ~3)..];
        return true;
    }

    /// <summary>Reads the current message as one of a generic netlink family.</summary>
    /// <param name="command">Its command.</param>
    /// <param name="attributes">Its attributes.</param>
    /// <returns>False when it is too short.</returns>
    public readonly bool TryReadGeneric(out byte command, out ReadOnlySpan<byte> attributes)
    {
        int size = Marshal.SizeOf<GenericNetlinkHeader>();
        if (Payload.Length < size)
        {
            command = 0;
            attributes = default;
            return false;
        }

        command = MemoryMarshal.Read<GenericNetlinkHeader>(Payload).Command;
        attributes = Payload[size..];
        return true;
    }

    /// <summary>Reads the current message as an acknowledgement (NLMSG_ERROR).</summary>
    /// <param name="error">0, or a negative errno.</param>
    /// <param name="text">What the kernel says to it, or null.</param>
    /// <returns>False when it is too short, or its error is none.</returns>
    public readonly bool TryReadAcknowledgement(out int error, out string? text)
    {
        const int ErrorBytes = sizeof(int);
        const int MaximumErrno = 4095;
        int header = Marshal.SizeOf<NetlinkHeader>();
        error = 0;
        text = null;
        if (Payload.Length < ErrorBytes + header)
        {
            return false;
        }

        error = MemoryMarshal.Read<int>(Payload);
        if (error is > 0 or < -MaximumErrno)
        {
            return false;
        }

        if ((Header.Flags & NetlinkConstants.FlagAckAttributes) == 0)
        {
            return true;
        }

        // Attributes follow the request, of which only the header is repeated when the kernel says so.
        long skip = header;
        if ((Header.Flags & NetlinkConstants.FlagCapped) == 0)
        {
            skip = (MemoryMarshal.Read<NetlinkHeader>(Payload[ErrorBytes..]).Length + 3L) & ~3L;
        }

        if (skip < header || ErrorBytes + skip > Payload.Length)
        {
            return true;
        }

        var attributes = new NetlinkAttributes(Payload[(int)(ErrorBytes + skip)..]);
        while (attributes.MoveNext())
        {
            if (attributes.Type == NetlinkConstants.AckMessage && attributes.TryReadText(out string message))
            {
                text = message;
            }
        }

        return true;
    }
}
