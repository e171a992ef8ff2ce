using NbdFuse.Native;

namespace NbdFuse.Attach;

/// <summary>Loop devices on a FUSE file.</summary>
public sealed class LoopKind : DeviceKind
{
    /// <summary>Name of the driver.</summary>
    public const string Name = "fuse";

    private static readonly TimeSpan ReleaseTimeout = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public override string Driver => Name;

    /// <inheritdoc/>
    public override bool IsPath(string path) => LoopDevice.TryNumber(path, out _);

    /// <inheritdoc/>
    public override bool IsHeld(AttachEntry entry, AttachState state, string device) =>
        IsPath(device) && LoopDevice.Status(device)?.Name == entry.LoopName;

    /// <inheritdoc/>
    public override string? Find(AttachEntry entry) => LoopDevice.Find(entry.LoopName);

    /// <inheritdoc/>
    public override IReadOnlyList<DeviceHolder> TakeDown(AttachEntry entry, AttachState state, bool force)
    {
        if (state.Device.Length == 0)
        {
            return [];
        }

        // No flush: nobody serves the file any more.
        IReadOnlyList<DeviceHolder> holders = LoopOperations.TakeDown(state.Device, entry.LoopName, force, flush: false);
        if (holders.Count == 0)
        {
            WaitForRelease(state.Device, entry.LoopName);
        }

        return holders;
    }

    /// <summary>Waits until the kernel has let a device go: somebody may have it open for a moment, as udev does.</summary>
    /// <param name="device">The device.</param>
    /// <param name="name">The name it was given.</param>
    private static void WaitForRelease(string device, string name)
    {
        long end = MonotonicClock.Milliseconds + (long)ReleaseTimeout.TotalMilliseconds;
        while (LoopDevice.Status(device)?.Name == name)
        {
            if (MonotonicClock.Milliseconds > end)
            {
                throw new DeviceBusyException(device, DeviceHolders.Find(device));
            }

            Thread.Sleep(10);
        }
    }
}
