namespace NbdFuse.Native.Netlink;

/// <summary>Numbers of the kernel's nbd driver (linux/nbd-netlink.h, linux/nbd.h).</summary>
public static class NbdNetlinkConstants
{
    /// <summary>Name of the generic netlink family (NBD_GENL_FAMILY_NAME).</summary>
    public const string FamilyName = "nbd";

    /// <summary>Name of the group that hears of dead connections (NBD_GENL_MCAST_GROUP_NAME).</summary>
    public const string GroupName = "nbd_mc_group";

    /// <summary>Version of the family (NBD_GENL_VERSION).</summary>
    public const byte Version = 1;

    /// <summary>Command: make a device of sockets (NBD_CMD_CONNECT).</summary>
    public const byte CommandConnect = 1;

    /// <summary>Command: end a device (NBD_CMD_DISCONNECT).</summary>
    public const byte CommandDisconnect = 2;

    /// <summary>Command: change a device, or replace its dead sockets (NBD_CMD_RECONFIGURE).</summary>
    public const byte CommandReconfigure = 3;

    /// <summary>Event: a connection has died (NBD_CMD_LINK_DEAD).</summary>
    public const byte CommandLinkDead = 4;

    /// <summary>Command: which devices are in use (NBD_CMD_STATUS).</summary>
    public const byte CommandStatus = 5;

    /// <summary>Number of the device, 32 bits (NBD_ATTR_INDEX).</summary>
    public const ushort AttributeIndex = 1;

    /// <summary>Size in bytes, 64 bits (NBD_ATTR_SIZE_BYTES).</summary>
    public const ushort AttributeSizeBytes = 2;

    /// <summary>Logical block size in bytes, 64 bits (NBD_ATTR_BLOCK_SIZE_BYTES).</summary>
    public const ushort AttributeBlockSizeBytes = 3;

    /// <summary>Seconds that a request may take, 64 bits (NBD_ATTR_TIMEOUT).</summary>
    public const ushort AttributeTimeout = 4;

    /// <summary>Transmission flags, 64 bits (NBD_ATTR_SERVER_FLAGS).</summary>
    public const ushort AttributeServerFlags = 5;

    /// <summary>How the device ends, 64 bits (NBD_ATTR_CLIENT_FLAGS).</summary>
    public const ushort AttributeClientFlags = 6;

    /// <summary>A list of <see cref="SocketItem"/> (NBD_ATTR_SOCKETS).</summary>
    public const ushort AttributeSockets = 7;

    /// <summary>Seconds that requests wait for a new connection, 64 bits (NBD_ATTR_DEAD_CONN_TIMEOUT).</summary>
    public const ushort AttributeDeadConnectionTimeout = 8;

    /// <summary>A list of <see cref="DeviceItem"/> (NBD_ATTR_DEVICE_LIST).</summary>
    public const ushort AttributeDeviceList = 9;

    /// <summary>Name that a reconfiguration must repeat (NBD_ATTR_BACKEND_IDENTIFIER; Linux 5.14).</summary>
    public const ushort AttributeBackendIdentifier = 10;

    /// <summary>A device in a list (NBD_DEVICE_ITEM).</summary>
    public const ushort DeviceItem = 1;

    /// <summary>Its number, 32 bits (NBD_DEVICE_INDEX).</summary>
    public const ushort DeviceIndex = 1;

    /// <summary>Whether it is in use, 8 bits (NBD_DEVICE_CONNECTED).</summary>
    public const ushort DeviceConnected = 2;

    /// <summary>A socket in a list (NBD_SOCK_ITEM).</summary>
    public const ushort SocketItem = 1;

    /// <summary>Its descriptor, 32 bits (NBD_SOCK_FD).</summary>
    public const ushort SocketDescriptor = 1;

    /// <summary>Client flag: the device goes with its connection (NBD_CFLAG_DESTROY_ON_DISCONNECT).</summary>
    public const ulong DestroyOnDisconnect = 1;

    /// <summary>Client flag: the last close disconnects (NBD_CFLAG_DISCONNECT_ON_CLOSE).</summary>
    public const ulong DisconnectOnClose = 2;

    /// <summary>ioctl: add a socket (NBD_SET_SOCK).</summary>
    public const uint SetSocket = 0xAB00;

    /// <summary>ioctl: set the logical block size in bytes (NBD_SET_BLKSIZE).</summary>
    public const uint SetBlockSize = 0xAB01;

    /// <summary>ioctl: run the device until it is disconnected (NBD_DO_IT).</summary>
    public const uint DoIt = 0xAB03;

    /// <summary>ioctl: drop the sockets (NBD_CLEAR_SOCK).</summary>
    public const uint ClearSockets = 0xAB04;

    /// <summary>ioctl: set the size in blocks (NBD_SET_SIZE_BLOCKS).</summary>
    public const uint SetSizeBlocks = 0xAB07;

    /// <summary>ioctl: say goodbye to the server (NBD_DISCONNECT).</summary>
    public const uint Disconnect = 0xAB08;

    /// <summary>ioctl: seconds that a request may take (NBD_SET_TIMEOUT).</summary>
    public const uint SetTimeout = 0xAB09;

    /// <summary>ioctl: set the transmission flags (NBD_SET_FLAGS).</summary>
    public const uint SetFlags = 0xAB0A;
}
