using NbdFuse.Native.Netlink;

namespace NbdFuse.Attach.KernelNbd;

/// <summary>The messages of the kernel's nbd driver (linux/nbd-netlink.h). Pure; whatever the kernel sends is checked.</summary>
public static class KernelNbdMessages
{
    // The driver has 2^20 minor numbers at most.
    private const uint MaximumIndex = 1 << 20;
    private const int MaximumDevices = 4096;

    /// <summary>Adds what NBD_CMD_CONNECT takes.</summary>
    /// <param name="message">A message that was begun with that command.</param>
    /// <param name="connect">The device.</param>
    /// <param name="sockets">Descriptors of this process.</param>
    public static void Connect(NetlinkMessageWriter message, KernelNbdConnect connect, IReadOnlyList<int> sockets)
    {
        if (connect.Index is { } index)
        {
            message.Add(NbdNetlinkConstants.AttributeIndex, (uint)index);
        }

        message.Add(NbdNetlinkConstants.AttributeSizeBytes, (ulong)connect.Geometry.Size);
        message.Add(NbdNetlinkConstants.AttributeBlockSizeBytes, (ulong)connect.Geometry.BlockSize);
        if (connect.TimeoutSeconds > 0)
        {
            message.Add(NbdNetlinkConstants.AttributeTimeout, (ulong)connect.TimeoutSeconds);
        }

        if (connect.DeadConnectionSeconds > 0)
        {
            message.Add(NbdNetlinkConstants.AttributeDeadConnectionTimeout, (ulong)connect.DeadConnectionSeconds);
        }

        message.Add(NbdNetlinkConstants.AttributeServerFlags, (ulong)connect.Geometry.Flags);

        // None: the device outlives its last user, and one that the module made at its start stays. Told, since a device keeps
        // the flags of its last life otherwise.
        message.Add(NbdNetlinkConstants.AttributeClientFlags, 0ul);
        AddSockets(message, sockets);
        message.Add(NbdNetlinkConstants.AttributeBackendIdentifier, connect.Identifier);
    }

    /// <summary>Adds what NBD_CMD_RECONFIGURE takes to replace dead connections.</summary>
    /// <param name="message">A message that was begun with that command.</param>
    /// <param name="index">Number of the device.</param>
    /// <param name="identifier">The name it was made with.</param>
    /// <param name="sockets">Descriptors of this process.</param>
    public static void Replace(NetlinkMessageWriter message, int index, string identifier, IReadOnlyList<int> sockets)
    {
        Identify(message, index, identifier);
        AddSockets(message, sockets);
    }

    /// <summary>Adds what NBD_CMD_RECONFIGURE takes to make the device go when it is disconnected.</summary>
    /// <param name="message">A message that was begun with that command.</param>
    /// <param name="index">Number of the device.</param>
    /// <param name="identifier">The name it was made with.</param>
    public static void DestroyOnDisconnect(NetlinkMessageWriter message, int index, string identifier)
    {
        Identify(message, index, identifier);
        message.Add(NbdNetlinkConstants.AttributeClientFlags, NbdNetlinkConstants.DestroyOnDisconnect);
    }

    /// <summary>Adds what NBD_CMD_RECONFIGURE takes to change the logical block size.</summary>
    /// <param name="message">A message that was begun with that command.</param>
    /// <param name="index">Number of the device.</param>
    /// <param name="identifier">The name it was made with.</param>
    /// <param name="geometry">The new size and block size.</param>
    public static void Resize(NetlinkMessageWriter message, int index, string identifier, KernelNbdGeometry geometry)
    {
        Identify(message, index, identifier);
        message.Add(NbdNetlinkConstants.AttributeSizeBytes, (ulong)geometry.Size);
        message.Add(NbdNetlinkConstants.AttributeBlockSizeBytes, (ulong)geometry.BlockSize);
    }

    /// <summary>Adds what NBD_CMD_DISCONNECT and NBD_CMD_STATUS take.</summary>
    /// <param name="message">A message that was begun with one of them.</param>
    /// <param name="index">Number of the device.</param>
    public static void Name(NetlinkMessageWriter message, int index) => message.Add(NbdNetlinkConstants.AttributeIndex, (uint)index);

    /// <summary>Reads the number of a device: the answer to NBD_CMD_CONNECT, and NBD_CMD_LINK_DEAD.</summary>
    /// <param name="attributes">The attributes.</param>
    /// <returns>The number; -1 when there is none.</returns>
    public static int ReadIndex(ReadOnlySpan<byte> attributes)
    {
        var walk = new NetlinkAttributes(attributes);
        int index = -1;
        while (walk.MoveNext())
        {
            if (walk.Type == NbdNetlinkConstants.AttributeIndex && walk.TryRead(out uint value) && value < MaximumIndex)
            {
                index = (int)value;
            }
        }

        return walk.IsMalformed ? -1 : index;
    }

    /// <summary>Reads the answer to NBD_CMD_STATUS.</summary>
    /// <param name="attributes">The attributes.</param>
    /// <returns>The devices by number, and whether each is in use; what is malformed is left out.</returns>
    public static IReadOnlyDictionary<int, bool> ReadStatus(ReadOnlySpan<byte> attributes)
    {
        Dictionary<int, bool> devices = [];
        var walk = new NetlinkAttributes(attributes);
        while (walk.MoveNext())
        {
            if (walk.Type != NbdNetlinkConstants.AttributeDeviceList)
            {
                continue;
            }

            var list = new NetlinkAttributes(walk.Value);
            while (list.MoveNext() && devices.Count < MaximumDevices)
            {
                if (list.Type == NbdNetlinkConstants.DeviceItem)
                {
                    ReadDevice(list.Value, devices);
                }
            }
        }

        return devices;
    }

    private static void ReadDevice(ReadOnlySpan<byte> item, Dictionary<int, bool> devices)
    {
        uint index = uint.MaxValue;
        bool connected = false;
        var device = new NetlinkAttributes(item);
        while (device.MoveNext())
        {
            if (device.Type == NbdNetlinkConstants.DeviceIndex)
            {
                index = device.TryRead(out uint number) ? number : uint.MaxValue;
            }
            else if (device.Type == NbdNetlinkConstants.DeviceConnected && device.TryRead(out byte value))
            {
                connected = value != 0;
            }
        }

        if (index < MaximumIndex && !device.IsMalformed)
        {
            devices[(int)index] = connected;
        }
    }

    private static void Identify(NetlinkMessageWriter message, int index, string identifier)
    {
        message.Add(NbdNetlinkConstants.AttributeIndex, (uint)index);
        message.Add(NbdNetlinkConstants.AttributeBackendIdentifier, identifier);
    }

    private static void AddSockets(NetlinkMessageWriter message, IReadOnlyList<int> sockets)
    {
        int list = message.Begin(NbdNetlinkConstants.AttributeSockets);
        foreach (int socket in sockets)
        {
            int item = message.Begin(NbdNetlinkConstants.SocketItem);
            message.Add(NbdNetlinkConstants.SocketDescriptor, (uint)socket);
            message.End(item);
        }

        message.End(list);
    }
}
