using System.Runtime.InteropServices;

namespace NbdFuse.Native.Netlink;

/// <summary>struct genlmsghdr, 4 bytes (linux/genetlink.h): follows <see cref="NetlinkHeader"/> in messages of a family.</summary>
[StructLayout(LayoutKind.Explicit, Size = 4)]
public struct GenericNetlinkHeader
{
    /// <summary>What is asked or told.</summary>
    [FieldOffset(0)]
    public byte Command;

    /// <summary>Version of the family.</summary>
    [FieldOffset(1)]
    public byte Version;

    /// <summary>0.</summary>
    [FieldOffset(2)]
    public ushort Reserved;
}
