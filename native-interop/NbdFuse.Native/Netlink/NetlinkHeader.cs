using System.Runtime.InteropServices;

namespace NbdFuse.Native.Netlink;

/// <summary>struct nlmsghdr, 16 bytes (linux/netlink.h): what every netlink message begins with.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct NetlinkHeader
{
    /// <summary>Bytes of the message with this header, without the padding to 4 bytes that follows.</summary>
    [FieldOffset(0)]
    public uint Length;

    /// <summary>A Type constant of <see cref="NetlinkConstants"/>, or the number of a family.</summary>
    [FieldOffset(4)]
    public ushort Type;

    /// <summary>Flag constants of <see cref="NetlinkConstants"/>.</summary>
    [FieldOffset(6)]
    public ushort Flags;

    /// <summary>Repeated in the answers to a request; 0 in events.</summary>
    [FieldOffset(8)]
    public uint Sequence;

    /// <summary>Address of the socket that asked; 0 is the kernel.</summary>
    [FieldOffset(12)]
    public uint PortId;
}
