using System.Globalization;
using NbdFuse.Native;
using NbdFuse.Native.Netlink;

namespace NbdFuse.Attach.KernelNbd;

/// <summary>Requests to the kernel's nbd driver by netlink.</summary>
/// <remarks>THREADING: any thread; requests take turns. A disconnect may wait for a server that does not take its goodbye.</remarks>
public sealed class KernelNbdControl : IDisposable
{
    private const string MissingModule =
        "the kernel has no nbd driver: load it with 'modprobe nbd' (in a container: on the host), or use --driver ublk or --driver fuse";

    private readonly GenericNetlinkSocket _socket;
    private readonly GenericNetlinkFamily _family;
    private readonly Lock _lock = new();

    private KernelNbdControl(GenericNetlinkSocket socket, GenericNetlinkFamily family)
    {
        _socket = socket;
        _family = family;
    }

    /// <summary>Opens the driver's interface; the kernel loads the module by itself where it can.</summary>
    /// <returns>Null when the driver is there, but speaks ioctl only.</returns>
    /// <exception cref="AttachException">There is no driver.</exception>
    public static KernelNbdControl? Open()
    {
        GenericNetlinkSocket? socket = null;
        try
        {
            socket = GenericNetlinkSocket.Open();
            if (socket.Resolve(NbdNetlinkConstants.FamilyName) is { } family)
            {
                var control = new KernelNbdControl(socket, family);
                socket = null;
                return control;
            }
        }
        catch (PosixException e) when (e.Errno is Errno.EPROTONOSUPPORT or Errno.EAFNOSUPPORT)
        {
            // No generic netlink in this kernel: there may still be ioctl.
        }
        catch (IOException e)
        {
            throw new AttachException($"cannot ask the kernel for its nbd driver: {e.Message}", e);
        }
        finally
        {
            socket?.Dispose();
        }

        return KernelNbdDevice.DriverExists ? null : throw new AttachException(MissingModule);
    }

    /// <summary>Makes a device.</summary>
    /// <param name="connect">How.</param>
    /// <param name="sockets">The connections; the kernel keeps its own references to them.</param>
    /// <returns>Number of the device.</returns>
    /// <exception cref="AttachException">The kernel refuses; there is no device.</exception>
    public int Connect(KernelNbdConnect connect, IReadOnlyList<FileDescriptor> sockets)
    {
        byte[]? answer;
        try
        {
            answer = Ask(
                NbdNetlinkConstants.CommandConnect,
                message => KernelNbdMessages.Connect(message, connect, [.. sockets.Select(socket => socket.Value)]));
        }
        catch (IOException e)
        {
            throw new AttachException(Explain(e, connect.Index), e);
        }

        int index = answer is null ? -1 : KernelNbdMessages.ReadIndex(answer);
        if (index < 0)
        {
            // It exists, and has our name, except on kernels that keep none.
            index = connect.Index ?? KernelNbdDevice.Find(connect.Identifier);
        }

        return index >= 0
            ? index
            : throw new AttachException("the kernel made a device and did not tell its number; 'nbd-client -c' may find it");
    }

    /// <summary>Hands new connections over in the place of dead ones.</summary>
    /// <param name="index">Number of the device.</param>
    /// <param name="identifier">The name it was made with.</param>
    /// <param name="sockets">The connections.</param>
    /// <exception cref="AttachException">The kernel refuses.</exception>
    public void Replace(int index, string identifier, IReadOnlyList<FileDescriptor> sockets) => Reconfigure(
        index, message => KernelNbdMessages.Replace(message, index, identifier, [.. sockets.Select(socket => socket.Value)]));

    /// <summary>Makes the device go when it is disconnected.</summary>
    /// <param name="index">Number of the device.</param>
    /// <param name="identifier">The name it was made with.</param>
    /// <exception cref="AttachException">The kernel refuses.</exception>
    public void DestroyOnDisconnect(int index, string identifier) =>
        Reconfigure(index, message => KernelNbdMessages.DestroyOnDisconnect(message, index, identifier));

    /// <summary>Changes the logical block size.</summary>
    /// <param name="index">Number of the device.</param>
    /// <param name="identifier">The name it was made with.</param>
    /// <param name="geometry">The new size and block size.</param>
    /// <exception cref="AttachException">The kernel refuses.</exception>
    public void Resize(int index, string identifier, KernelNbdGeometry geometry) =>
        Reconfigure(index, message => KernelNbdMessages.Resize(message, index, identifier, geometry));

    /// <summary>Takes leave of the server and fails all requests; the device is gone when its last user closes it.</summary>
    /// <param name="index">Number of the device.</param>
    /// <exception cref="AttachException">The kernel refuses.</exception>
    public void Disconnect(int index)
    {
        try
        {
            Ask(NbdNetlinkConstants.CommandDisconnect, message => KernelNbdMessages.Name(message, index));
        }
        catch (IOException e)
        {
            throw new AttachException($"{KernelNbdDevice.PathOf(index)}: the kernel does not disconnect it: {e.Message}", e);
        }
    }

    /// <summary>Whether a device is in use.</summary>
    /// <param name="index">Number of the device.</param>
    /// <returns>False also when there is none of that number.</returns>
    /// <exception cref="AttachException">The kernel refuses.</exception>
    public bool IsConnected(int index)
    {
        try
        {
            byte[]? answer = Ask(NbdNetlinkConstants.CommandStatus, message => KernelNbdMessages.Name(message, index));
            return answer is not null && KernelNbdMessages.ReadStatus(answer).TryGetValue(index, out bool connected) && connected;
        }
        catch (IOException e)
        {
            throw new AttachException($"{KernelNbdDevice.PathOf(index)}: the kernel does not tell its state: {e.Message}", e);
        }
    }

    /// <summary>Begins to hear of dead connections.</summary>
    /// <returns>Null when the driver is too old to tell.</returns>
    public KernelNbdEvents? Listen() => _family.Groups.TryGetValue(NbdNetlinkConstants.GroupName, out uint group)
        ? KernelNbdEvents.Open(_family.Id, group)
        : null;

    /// <inheritdoc/>
    public void Dispose() => _socket.Dispose();

    /// <summary>What the user is told when the kernel makes no device.</summary>
    /// <param name="error">What the kernel said.</param>
    /// <param name="index">The number that was asked for.</param>
    internal static string Explain(IOException error, int? index)
    {
        string device = index is { } number ? KernelNbdDevice.PathOf(number) : "the kernel's nbd driver";
        return (error as NetlinkException)?.Errno switch
        {
            Errno.EPERM or Errno.EACCES => $"{device}: attaching needs root (CAP_SYS_ADMIN in the initial user namespace)",
            Errno.EBUSY or Errno.EEXIST when index is not null =>
                $"{device} is in use already: choose another with --device, or leave it out for a free one",
            Errno.EINVAL => string.Create(
                CultureInfo.InvariantCulture,
                $"{device}: the kernel refuses the connections or their settings ({error.Message}); it takes TCP and unix sockets only (newer kernels no vsock), and 'dmesg' tells its reason"),
            _ => $"{device}: cannot attach: {error.Message}",
        };
    }

    private void Reconfigure(int index, Action<NetlinkMessageWriter> fill)
    {
        try
        {
            Ask(NbdNetlinkConstants.CommandReconfigure, fill);
        }
        catch (IOException e)
        {
            throw new AttachException($"{KernelNbdDevice.PathOf(index)}: the kernel does not take the change: {e.Message}", e);
        }
    }

    private byte[]? Ask(byte command, Action<NetlinkMessageWriter> fill)
    {
        lock (_lock)
        {
            NetlinkMessageWriter message = _socket.Begin(_family.Id, command, NbdNetlinkConstants.Version);
            fill(message);
            return _socket.Ask(message)?.Attributes;
        }
    }
}
