namespace NbdFuse.Ublk;

/// <summary>Why a device is not served any more.</summary>
public enum UblkEndReason
{
    /// <summary>Asked for by <see cref="UblkDevice.StopAsync"/>.</summary>
    Stopped = 0,

    /// <summary>Somebody else stopped the device.</summary>
    Removed = 1,

    /// <summary>The kernel refused what may not fail: see the errno. The device stays; a new process can recover it.</summary>
    Failed = 2,

    /// <summary>The event loop has ended by an exception. The device stays; a new process can recover it.</summary>
    LoopFailed = 3,
}
