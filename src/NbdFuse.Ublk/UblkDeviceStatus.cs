using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

/// <summary>A ublk device of this machine, whoever made it.</summary>
/// <param name="Number">Number of the device.</param>
/// <param name="Path">Path of the disk.</param>
/// <param name="State">What the kernel says of it.</param>
/// <param name="ServerPid">Process that serves it, or served it last; -1 for none.</param>
/// <param name="IsServerAlive">Whether there is a process of that number.</param>
/// <param name="IsOurs">Whether this program made it.</param>
/// <param name="Size">Bytes.</param>
/// <param name="IsReadOnly">Writes fail.</param>
/// <param name="CanRecover">Whether another process can go on with it when its own has died.</param>
public sealed record UblkDeviceStatus(
    int Number,
    string Path,
    UblkState State,
    int ServerPid,
    bool IsServerAlive,
    bool IsOurs,
    long Size,
    bool IsReadOnly,
    bool CanRecover);
