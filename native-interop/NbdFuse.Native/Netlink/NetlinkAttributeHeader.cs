using System.Runtime.InteropServices;

namespace NbdFuse.Native.Netlink;

/// <summary>struct nlattr, 4 bytes (linux/netlink.h): what every attribute begins with.</summary>
[StructLayout(LayoutKind.Explicit, Size = 4)]
public struct NetlinkAttributeHeader
{
    /// <summary>Bytes of the attribute with this header, without the padding to 4 bytes that follows.</summary>
    [FieldOffset(0)]
    public ushort Length;

    /// <summary>Type and flags.</summary>
    [FieldOffset(2)]
    public ushort Type;
}
