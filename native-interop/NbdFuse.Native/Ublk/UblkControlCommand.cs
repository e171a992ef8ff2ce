using System.Runtime.InteropServices;

namespace NbdFuse.Native.Ublk;

/// <summary>struct ublksrv_ctrl_cmd, 32 bytes (linux/ublk_cmd.h). What goes to /dev/ublk-control.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
public struct UblkControlCommand
{
    /// <summary>Number of the device; all bits set asks for a free one.</summary>
    [FieldOffset(0)]
    public uint DeviceId;

    /// <summary>Number of the queue; all bits set for none.</summary>
    [FieldOffset(4)]
    public ushort QueueId;

    /// <summary>Bytes at <see cref="Address"/>.</summary>
    [FieldOffset(6)]
    public ushort Length;

    /// <summary>Memory of the command, in or out.</summary>
    [FieldOffset(8)]
    public ulong Address;

    /// <summary>A number of the command.</summary>
    [FieldOffset(16)]
    public ulong Data;

    /// <summary>Bytes of a path in front of the memory; 0 for privileged devices.</summary>
    [FieldOffset(24)]
    public ushort PathLength;
}
