using System.Runtime.InteropServices;

namespace NbdFuse.Native.Ublk;

/// <summary>struct ublksrv_ctrl_dev_info, 64 bytes (linux/ublk_cmd.h). What a device is; the kernel changes what it cannot grant.</summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
public struct UblkDeviceInfo
{
    /// <summary>Hardware queues.</summary>
    [FieldOffset(0)]
    public ushort Queues;

    /// <summary>Requests per queue, 1 to 4096.</summary>
    [FieldOffset(2)]
    public ushort Depth;

    /// <summary>Dead, live, or waiting for a new server.</summary>
    [FieldOffset(4)]
    public UblkState State;

    /// <summary>Bytes of the longest payload.</summary>
    [FieldOffset(8)]
    public uint MaximumIo;

    /// <summary>Number of the device.</summary>
    [FieldOffset(12)]
    public uint DeviceId;

    /// <summary>Process that serves it; -1 for none.</summary>
    [FieldOffset(16)]
    public int ServerPid;

    /// <summary>Features.</summary>
    [FieldOffset(24)]
    public UblkFeatures Flags;

    /// <summary>For the server's own use; the kernel only keeps it.</summary>
    [FieldOffset(32)]
    public ulong ServerFlags;

    /// <summary>User that added it.</summary>
    [FieldOffset(40)]
    public uint OwnerUid;

    /// <summary>Group that added it.</summary>
    [FieldOffset(44)]
    public uint OwnerGid;
}
