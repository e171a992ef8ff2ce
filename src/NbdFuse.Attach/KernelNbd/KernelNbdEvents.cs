using NbdFuse.Native;
using NbdFuse.Native.Netlink;

namespace NbdFuse.Attach.KernelNbd;

/// <summary>What the kernel tells of dead connections.</summary>
/// <remarks>THREADING: for one thread.</remarks>
public sealed class KernelNbdEvents : IDisposable
{
    private readonly GenericNetlinkSocket _socket;
    private readonly ushort _family;

    private KernelNbdEvents(GenericNetlinkSocket socket, ushort family)
    {
        _socket = socket;
        _family = family;
    }

    /// <summary>Readable when there is news; for poll(2).</summary>
    public int Descriptor => _socket.Descriptor;

    /// <summary>Joins the driver's group.</summary>
    /// <param name="family">Number of the family.</param>
    /// <param name="group">Number of the group.</param>
    internal static KernelNbdEvents Open(ushort family, uint group)
    {
        GenericNetlinkSocket socket = GenericNetlinkSocket.Open();
        try
        {
            socket.Join(group);
            return new KernelNbdEvents(socket, family);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Takes what there is, without waiting.</summary>
    /// <param name="index">Number of the device of interest.</param>
    /// <returns>How many of its connections have died, as far as events were not lost.</returns>
    public int Take(int index)
    {
        int dead = 0;
        while (true)
        {
            ReadOnlySpan<byte> datagram;
            try
            {
                if (Posix.Poll(_socket.Descriptor, PollEvents.In, 0) <= 0)
                {
                    return dead;
                }

                datagram = _socket.Receive();
            }
            catch (PosixException e) when (e.Errno == Errno.ENOBUFS)
            {
                // Events were lost. They are not guessed: a connection that is not dead cannot be replaced.
                continue;
            }

            dead += Count(datagram, _family, index);
        }
    }

    /// <summary>Counts the events of a device in a datagram.</summary>
    /// <param name="datagram">What the kernel sent.</param>
    /// <param name="family">Number of the family.</param>
    /// <param name="index">Number of the device.</param>
    internal static int Count(ReadOnlySpan<byte> datagram, ushort family, int index)
    {
        int dead = 0;
        var messages = new NetlinkMessages(datagram);
        while (messages.MoveNext())
        {
            if (messages.Header.Type == family
                && messages.TryReadGeneric(out byte command, out ReadOnlySpan<byte> attributes)
                && command == NbdNetlinkConstants.CommandLinkDead
                && KernelNbdMessages.ReadIndex(attributes) == index)
            {
                dead++;
            }
        }

        return dead;
    }

    /// <inheritdoc/>
    public void Dispose() => _socket.Dispose();
}
