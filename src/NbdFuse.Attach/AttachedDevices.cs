using NbdFuse.Attach.Control;

namespace NbdFuse.Attach;

/// <summary>What is attached on this machine, by the runtime directory.</summary>
/// <param name="kinds">The kinds of devices that this program knows.</param>
public sealed class AttachedDevices(IReadOnlyList<DeviceKind> kinds)
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AbandonedAge = TimeSpan.FromMinutes(1);

    /// <summary>The kinds of devices that this program knows.</summary>
    public IReadOnlyList<DeviceKind> Kinds => kinds;

    /// <summary>Asks all daemons.</summary>
    /// <returns>What is attached, the stale entries of daemons that are gone included.</returns>
    public async Task<IReadOnlyList<AttachStatus>> ListAsync()
    {
        List<Task<AttachStatus?>> answers = [.. RuntimeDirectory.Entries().Select(AskAsync)];
        AttachStatus?[] all = await Task.WhenAll(answers).ConfigureAwait(false);
        return [.. all.OfType<AttachStatus>().OrderBy(status => status.Attached.Device, StringComparer.Ordinal)];
    }

    /// <summary>Finds the entry of a device.</summary>
    /// <param name="device">Path of the whole device.</param>
    /// <returns>The entry and its state, or null.</returns>
    public (AttachEntry Entry, AttachState State)? Find(string device)
    {
        List<(AttachEntry Entry, AttachState State)> all = [];
        foreach (AttachEntry entry in RuntimeDirectory.Entries())
        {
            if (entry.Read() is { } state)
            {
                all.Add((entry, state));
            }
        }

        // The kernel's word about all of them first: the number of a device that was lost may have gone to another entry.
        foreach ((AttachEntry entry, AttachState state) in all)
        {
            if (KindOf(state)?.IsHeld(entry, state, device) == true)
            {
                return (entry, state with { Device = device });
            }
        }

        IEnumerable<(AttachEntry Entry, AttachState State)> named = all.Where(pair => pair.State.Device == device);
        return named.OrderByDescending(pair => AttachEntry.IsAlive(pair.State))
            .Select(pair => ((AttachEntry Entry, AttachState State)?)pair)
            .FirstOrDefault();
    }

    /// <summary>Takes down what a daemon that is gone has left behind, with its entry.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="state">Its state, or null when there is none.</param>
    /// <param name="force">Do it although the device is in use.</param>
    /// <returns>Who still uses the device; with <paramref name="force"/> only.</returns>
    /// <exception cref="DeviceBusyException">It is in use, and nothing was done.</exception>
    /// <exception cref="AttachException">It could not.</exception>
    public IReadOnlyList<DeviceHolder> CleanUp(AttachEntry entry, AttachState? state, bool force)
    {
        state = WithDevice(entry, state ?? new AttachState());
        IReadOnlyList<DeviceHolder> holders = KindOf(state)?.TakeDown(entry, state, force)
            ?? throw new AttachException($"{state.Device}: this version knows no driver '{state.Driver}'; detach it with the version that attached it");
        entry.Remove();
        return holders;
    }

    /// <summary>Removes entries of processes that are gone. No device is looked at: that may wait for whoever serves it.</summary>
    /// <param name="isOver">Whether nothing that a state names needs the entry any more.</param>
    public static void Forget(Predicate<AttachState> isOver)
    {
        foreach (AttachEntry entry in RuntimeDirectory.Entries())
        {
            if (entry.Read() is { } state && !AttachEntry.IsAlive(state) && isOver(state))
            {
                entry.Remove();
            }
        }
    }

    /// <summary>Removes entries of daemons that ended before they had a device.</summary>
    public void Prune()
    {
        foreach (AttachEntry entry in RuntimeDirectory.Entries())
        {
            AttachState? state = entry.Read();
            bool abandoned = state is null
                ? DateTime.UtcNow - Directory.GetLastWriteTimeUtc(entry.Directory) > AbandonedAge
                : state.Device.Length == 0 && !AttachEntry.IsAlive(state);
            if (abandoned && kinds.All(kind => kind.Find(entry) is null))
            {
                entry.Remove();
            }
        }
    }

    private bool IsGone(AttachState state) => KindOf(state)?.IsGone(state) == true;

    private DeviceKind? KindOf(AttachState state) => kinds.FirstOrDefault(kind => kind.Driver == state.Driver);

    // Between the making of a device and the writing of its name a daemon may have died.
    private AttachState WithDevice(AttachEntry entry, AttachState state)
    {
        if (state.Device.Length > 0)
        {
            return state;
        }

        foreach (DeviceKind kind in kinds)
        {
            if (kind.Find(entry) is { } device)
            {
                return state with { Device = device, Driver = kind.Driver };
            }
        }

        return state.Driver.Length > 0 ? state : state with { Driver = kinds[0].Driver };
    }

    private async Task<AttachStatus?> AskAsync(AttachEntry entry)
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
                bool isStarting = again.Device.Length == 0 || !File.Exists(entry.SocketPath);
                return new AttachStatus
                {
                    Attached = again,
                    State = isStarting ? "starting" : "silent",
                    Reason = again.Device.Length == 0 ? "it has no device yet"
                        : isStarting ? "its device is not ready yet"
                        : "its process does not answer",
                };
            }

            state = again;
        }

        if (IsGone(state))
        {
            entry.Remove();
            return null;
        }

        state = WithDevice(entry, state);
        DeviceKind? kind = KindOf(state);
        return kind?.StatusWithoutDaemon(entry, state) ?? new AttachStatus
        {
            Attached = state,
            State = "stale",
            Reason = kind?.DescribeStale(state.Device) ?? $"its process is gone, and this version knows no driver '{state.Driver}'",
        };
    }
}
