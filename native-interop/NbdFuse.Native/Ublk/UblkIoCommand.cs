using System.Runtime.InteropServices;

namespace NbdFuse.Native.Ublk;

/// <summary>struct ublksrv_io_cmd, 16 bytes (linux/ublk_cmd.h). What goes to /dev/ublkcN.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct UblkIoCommand
{
    /// <summary>Number of the queue.</summary>
    [FieldOffset(0)]
    public ushort QueueId;

    /// <summary>Number of the request, below the depth.</summary>
    [FieldOffset(2)]
    public ushort Tag;

    /// <summary>Of the request that is committed: bytes of READ and WRITE, 0, or a negative errno.</summary>
    [FieldOffset(4)]
    public int Result;

    /// <summary>Buffer for the next request.</summary>
    [FieldOffset(8)]
    public ulong Address;
}
