using NbdFuse.Attach;
using NbdFuse.Attach.Control;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>detach: asks the daemon, or cleans up after one that is gone.</summary>
internal static class DetachCommand
{
    private const int SignalKill = 9;

    private static readonly TimeSpan PatientTimeout = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan ForcedTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan EndTimeout = TimeSpan.FromSeconds(10);

    /// <summary>Runs.</summary>
    /// <param name="target">The device, one of its partitions, or where a file system on it is mounted.</param>
    /// <param name="force">Fail what is in flight, and do it although the device is in use.</param>
    /// <param name="error">Standard error: receives warnings.</param>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(string target, bool force, TextWriter error)
    {
        DetachTarget resolved = DetachTarget.Resolve(target);
        if (DeviceDrivers.Devices.Find(resolved.Device) is not var (entry, state))
        {
            throw new AttachException($"{resolved.Device} was not attached by nbdfuse; 'nbdfuse status' lists what was");
        }

        if (resolved.MountPoint is { } named && !force)
        {
            await UnmountAsync(resolved.Device, named).ConfigureAwait(false);
        }

        // Looked for while the device is ours for certain: its number may belong to somebody else afterwards.
        IReadOnlyList<string> mountPoints = force ? DeviceHolders.FindMountPoints(resolved.Device) : [];
        (string? warning, bool isLost) = AttachEntry.IsAlive(state)
            ? await AskAsync(entry, state, force).ConfigureAwait(false)
            : (CleanUp(entry, state, force), false);
        foreach (string mountPoint in mountPoints)
        {
            // After the requests have failed: before, whoever is in there might be waiting for an answer that does not come.
            Posix.Umount2(mountPoint, Posix.UnmountDetach | Posix.UnmountNoFollow);
        }

        if (mountPoints.Count > 0)
        {
            IReadOnlyList<DeviceHolder> rest = DeviceHolders.Find(resolved.Device);
            warning = rest.Count == 0 ? null : $"{string.Join(", ", rest)}: the kernel frees {resolved.Device} when that ends";
        }

        if (warning is not null)
        {
            await error.WriteAsync($"{ErrorText.Program}: {ErrorText.OneLine(warning)}\n").ConfigureAwait(false);
        }

        return isLost ? MountCommand.Failed : 0;
    }

    private static async Task UnmountAsync(string device, string mountPoint)
    {
        DeviceHolder[] others =
        [
            .. DeviceHolders.Find(device).Where(holder => holder.Kind != DeviceHolderKind.Mount || holder.What != mountPoint),
        ];
        if (others.Length > 0)
        {
            throw new DeviceBusyException(device, others);
        }

        // By another process: it writes back first, and while the server does not answer nobody could end it.
        Task<string[]> unmounting = LoopHelper.RunAsync(LoopHelperCommand.Unmount, mountPoint);
        if (await Task.WhenAny(unmounting, Task.Delay(PatientTimeout)).ConfigureAwait(false) != unmounting)
        {
            throw new AttachException(
                $"{mountPoint}: unmounting does not come to an end, perhaps the server does not answer; 'nbdfuse detach --force {device}' gives up what was not written");
        }

        string[] answer = await unmounting.ConfigureAwait(false);
        if (answer[0] != LoopHelper.Done)
        {
            throw new AttachException(answer[1]);
        }
    }

    private static async Task<(string? Warning, bool IsLost)> AskAsync(AttachEntry entry, AttachState state, bool force)
    {
        if (!force)
        {
            await StartedAsync(entry, state).ConfigureAwait(false);
        }

        long end = MonotonicClock.Milliseconds + (long)PatientTimeout.TotalMilliseconds;
        ControlReply? reply;
        do
        {
            reply = await ControlClient.AskAsync(
                entry.SocketPath,
                new ControlRequest { Request = ControlRequest.Detach, Force = force },
                force ? ForcedTimeout : PatientTimeout).ConfigureAwait(false);
        }
        while (reply is null && !force && await IsFollowedAsync(state).ConfigureAwait(false) && MonotonicClock.Milliseconds < end);
        if (reply is { Ok: false, Message: var message })
        {
            throw new AttachException(message ?? $"{state.Device}: the daemon refuses, and does not say why");
        }

        if (await HasEndedAsync(state).ConfigureAwait(false))
        {
            // Without an answer it was killed meanwhile.
            return reply is null ? (CleanUp(entry, state, force), false) : (reply.Message, reply.Lost);
        }

        if (!force)
        {
            throw new AttachException(
                $"{state.Device}: process {state.Pid} does not come to an end, perhaps its server does not answer; 'nbdfuse detach --force {state.Device}' gives up what was not written");
        }

        int worker = (entry.Read() ?? state).Worker;
        Posix.Kill(state.Pid, SignalKill);
        if (worker > 0)
        {
            // After its keeper, which would have another one follow.
            Posix.Kill(worker, SignalKill);
        }

        if (!await HasEndedAsync(state).ConfigureAwait(false))
        {
            throw new AttachException($"{state.Device}: process {state.Pid} cannot be killed");
        }

        return (CleanUp(entry, state, force), false);
    }

    private static string? CleanUp(AttachEntry entry, AttachState state, bool force)
    {
        string? loss = force ? null
            : DeviceDrivers.Devices.Kinds.FirstOrDefault(kind => kind.Driver == state.Driver)?.LossWithoutDaemon(entry, state);
        IReadOnlyList<DeviceHolder> holders = DeviceDrivers.Devices.CleanUp(entry, state, force);
        return holders.Count == 0 ? loss : $"{string.Join(", ", holders)}: the kernel frees {state.Device} when that ends";
    }

    /// <summary>Waits for a daemon that has a device, but does not listen yet.</summary>
    private static async Task StartedAsync(AttachEntry entry, AttachState state)
    {
        long end = MonotonicClock.Milliseconds + (long)PatientTimeout.TotalMilliseconds;
        while (!File.Exists(entry.SocketPath) && entry.Read() is not null && AttachEntry.IsAlive(state) && MonotonicClock.Milliseconds < end)
        {
            await Task.Delay(10).ConfigureAwait(false);
        }
    }

    /// <summary>Whether the keeper lives, and another process will answer in place of one that has died. Waits a moment.</summary>
    private static async Task<bool> IsFollowedAsync(AttachState state)
    {
        await Task.Delay(50).ConfigureAwait(false);
        return state.Worker > 0 && AttachEntry.IsAlive(state);
    }

    private static async Task<bool> HasEndedAsync(AttachState state)
    {
        long end = MonotonicClock.Milliseconds + (long)EndTimeout.TotalMilliseconds;
        while (AttachEntry.IsAlive(state))
        {
            if (MonotonicClock.Milliseconds > end)
            {
                return false;
            }

            await Task.Delay(10).ConfigureAwait(false);
        }

        return true;
    }
}
