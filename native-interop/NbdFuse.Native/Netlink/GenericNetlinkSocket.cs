namespace NbdFuse.Native.Netlink;

/// <summary>A socket of generic netlink: requests to the kernel, and its events.</summary>
/// <remarks>THREADING: for one thread at a time. The kernel works on a request within the send.</remarks>
public sealed class GenericNetlinkSocket : IDisposable
{
    // The kernel limits what one datagram holds to a page or two; 32 KiB is what iproute2 gives it.
    private const int ReceiveBytes = 32 * 1024;

    // Answers are in the queue when the send returns.
    private const int AnswerTimeoutMs = 10_000;

    private readonly FileDescriptor _socket;
    private readonly byte[] _buffer = new byte[ReceiveBytes];
    private uint _sequence;

    private GenericNetlinkSocket(FileDescriptor socket) => _socket = socket;

    /// <summary>The socket, for poll(2).</summary>
    public int Descriptor => _socket.Value;

    /// <summary>Opens a socket.</summary>
    /// <exception cref="PosixException">The kernel has no generic netlink, or refuses.</exception>
    public static GenericNetlinkSocket Open()
    {
        FileDescriptor socket = FileDescriptor.OwnOrThrow(
            Posix.Socket(NetlinkConstants.Family, SocketConstants.SOCK_DGRAM | SocketConstants.SOCK_NONBLOCK, NetlinkConstants.Generic),
            "open a generic netlink socket");
        try
        {
            // struct sockaddr_nl with an address that the kernel chooses.
            byte[] address = new byte[12];
            address[0] = NetlinkConstants.Family;
            PosixException.Check(Posix.Bind(socket.Value, address), "bind a generic netlink socket");

            // Older kernels lack them: then errors have no text.
            Posix.SetSockOpt(socket.Value, NetlinkConstants.OptionLevel, NetlinkConstants.CapAck, 1);
            Posix.SetSockOpt(socket.Value, NetlinkConstants.OptionLevel, NetlinkConstants.ExtendedAck, 1);
            return new GenericNetlinkSocket(socket);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Asks the controller for a family.</summary>
    /// <param name="name">Its name.</param>
    /// <returns>Null when the kernel has none of that name.</returns>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    public GenericNetlinkFamily? Resolve(string name)
    {
        NetlinkMessageWriter request = Begin(NetlinkConstants.ControllerId, NetlinkConstants.ControllerGetFamily, 1);
        request.Add(NetlinkConstants.ControllerFamilyName, name);
        try
        {
            return Ask(request) is { } answer ? GenericNetlinkFamily.Parse(answer.Attributes) : null;
        }
        catch (NetlinkException e) when (e.Errno == Errno.ENOENT)
        {
            return null;
        }
    }

    /// <summary>Begins a request.</summary>
    /// <param name="family">Number of the family.</param>
    /// <param name="command">Its command.</param>
    /// <param name="version">Its version.</param>
    public NetlinkMessageWriter Begin(ushort family, byte command, byte version) =>
        new(family, NetlinkConstants.FlagRequest | NetlinkConstants.FlagAck, ++_sequence, command, version);

    /// <summary>Sends a request and waits until the kernel has answered.</summary>
    /// <param name="request">The request that was begun last.</param>
    /// <returns>Command and attributes of the answer; null when it was only acknowledged.</returns>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    /// <exception cref="PosixException">The socket failed.</exception>
    public (byte Command, byte[] Attributes)? Ask(NetlinkMessageWriter request)
    {
        ReadOnlySpan<byte> message = request.Finish();
        ushort family = System.Runtime.InteropServices.MemoryMarshal.Read<NetlinkHeader>(message).Type;
        PosixException.Check(Posix.Send(_socket.Value, message), "send a netlink request");
        (byte Command, byte[] Attributes)? answer = null;
        long end = MonotonicClock.Milliseconds + AnswerTimeoutMs;
        while (true)
        {
            int wait = (int)Math.Max(0, end - MonotonicClock.Milliseconds);
            if (PosixException.Check(Posix.Poll(_socket.Value, PollEvents.In, wait), "wait for the kernel's answer") == 0)
            {
                throw new PosixException("wait for the kernel's answer", Errno.ETIMEDOUT);
            }

            ReadOnlySpan<byte> datagram = Receive();
            var messages = new NetlinkMessages(datagram);
            while (messages.MoveNext())
            {
                if (messages.Header.Sequence != _sequence)
                {
                    continue;
                }

                if (messages.Header.Type == NetlinkConstants.TypeError)
                {
                    if (!messages.TryReadAcknowledgement(out int error, out string? text))
                    {
                        throw new PosixException("the kernel's answer", Errno.EBADMSG);
                    }

                    return error == 0 ? answer : throw new NetlinkException(error, text);
                }

                if (messages.Header.Type == family && messages.TryReadGeneric(out byte command, out ReadOnlySpan<byte> attributes))
                {
                    answer = (command, attributes.ToArray());
                }
            }
        }
    }

    /// <summary>Joins a multicast group; its events are received from here on.</summary>
    /// <param name="group">Number of the group.</param>
    /// <exception cref="PosixException">The kernel refused.</exception>
    public void Join(uint group) => PosixException.Check(
        Posix.SetSockOpt(_socket.Value, NetlinkConstants.OptionLevel, NetlinkConstants.AddMembership, (int)group),
        "join a netlink group");

    /// <summary>Takes one datagram of the kernel, without waiting.</summary>
    /// <returns>Its bytes, valid until the next call; empty when there is none, or when it came from somebody else or was cut.</returns>
    /// <exception cref="PosixException">The socket failed; ENOBUFS says that events were lost.</exception>
    public ReadOnlySpan<byte> Receive()
    {
        int length = Posix.ReceiveNetlink(_socket.Value, _buffer, out uint sender);
        if (length == -Errno.EAGAIN)
        {
            return default;
        }

        PosixException.Check(length, "receive from the kernel");

        // Any process with the privilege can write to any netlink socket: only the kernel is believed.
        return sender != 0 || length > _buffer.Length ? default : _buffer.AsSpan(0, length);
    }

    /// <inheritdoc/>
    public void Dispose() => _socket.Dispose();
}
