using NbdFuse.Attach.Control;
using NbdFuse.Native;

namespace NbdFuse.Attach;

/// <summary>What is attached on this machine, by the runtime directory.</summary>
public static class AttachedDevices
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ReleaseTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan AbandonedAge = TimeSpan.FromMinutes(1);

    /// <summary>Asks all daemons.</summary>
    /// <returns>What is attached, the stale entries of daemons that are gone included.</returns>
    public static async Task<IReadOnlyList<AttachStatus>> ListAsync()
    {
        List<Task<AttachStatus?>> answers = [.. RuntimeDirectory.Entries().Select(AskAsync)];
        AttachStatus?[] all = await Task.WhenAll(answers).ConfigureAwait(false);
        return [.. all.OfType<AttachStatus>().OrderBy(status => status.Attached.Device, StringComparer.Ordinal)];
    }

    /// <summary>Finds the entry of a device.</summary>
    /// <param name="device">Path of the whole device.</param>
    /// <returns>The entry and its state, or null.</returns>
    public static (AttachEntry Entry, AttachState State)? Find(string device)
    {
        (AttachEntry Entry, AttachState State)? stale = null;
        string? name = LoopDevice.Status(device)?.Name;
        foreach (AttachEntry entry in RuntimeDirectory.Entries())
        {
            if (entry.Read() is not { } state)
            {
                continue;
            }

            // The device's own word first: after a crash its number may have gone to somebody else.
            if (name == entry.LoopName || (state.Device == device && AttachEntry.IsAlive(state)))
            {
                return (entry, state with { Device = device });
            }

            stale = state.Device == device ? (entry, state) : stale;
        }

        return stale;
    }

    /// <summary>Takes down what a daemon that is gone has left behind.</summary>
    /// <param name="entry">Its entry.</param>
    /// <param name="device">The device; empty when there is none.</param>
    /// <param name="force">Do it although the device is in use.</param>
    /// <returns>Who still uses the device; with <paramref name="force"/> only.</returns>
    /// <exception cref="DeviceBusyException">It is in use, and nothing was done.</exception>
    public static IReadOnlyList<DeviceHolder> CleanUp(AttachEntry entry, string device, bool force)
    {
        IReadOnlyList<DeviceHolder> holders = device.Length == 0
            ? []
            : LoopOperations.TakeDown(device, entry.LoopName, force, flush: false);
        if (device.Length > 0 && holders.Count == 0)
        {
            WaitForRelease(device, entry.LoopName);
        }

        entry.Remove();
        return holders;
    }

    /// <summary>Removes entries of daemons that ended before they had a device.</summary>
    public static void Prune()
    {
        foreach (AttachEntry entry in RuntimeDirectory.Entries())
        {
            AttachState? state = entry.Read();
            bool abandoned = state is null
                ? DateTime.UtcNow - Directory.GetLastWriteTimeUtc(entry.Directory) > AbandonedAge
                : state.Device.Length == 0 && !AttachEntry.IsAlive(state);
            if (abandoned && LoopDevice.Find(entry.LoopName) is null)
            {
                entry.Remove();
            }
        }
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

    private static async Task<AttachStatus?> AskAsync(AttachEntry entry)
    {
        if (entry.Read() is not { } state)
        {
            return null;
        }

        if (AttachEntry.IsAlive(state))
        {
            ControlReply? reply = await ControlClient
                .AskAsync(entry.SocketPath, new ControlRequest { Request = ControlRequest.Status }, AnswerTimeout).ConfigureAwait(false);
            if (reply?.Status is { } status)
            {
                return status;
            }

            // It may have been about to end.
            if (entry.Read() is not { } again)
            {
                return null;
            }

            if (AttachEntry.IsAlive(again))
            {
                return new AttachStatus
                {
                    Attached = again,
                    State = again.Device.Length == 0 ? "starting" : "silent",
                    Reason = again.Device.Length == 0 ? "it has no device yet" : "its process does not answer",
                };
            }

            state = again;
        }

        string device = state.Device.Length > 0 ? state.Device : LoopDevice.Find(entry.LoopName) ?? string.Empty;
        return new AttachStatus
        {
            Attached = state with { Device = device },
            State = "stale",
            Reason = $"its process is gone, and every request fails; 'nbdfuse detach {(device.Length > 0 ? device : "DEV")}' cleans up",
        };
    }
}
