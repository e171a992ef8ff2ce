using System.Globalization;
using NbdFuse.Attach;
using NbdFuse.Ublk;

namespace NbdFuse.Cli;

/// <summary>ublk devices. They outlive their process: requests wait for the next one.</summary>
internal sealed class UblkKind : DeviceKind
{
    /// <summary>Name of the driver.</summary>
    public const string Name = "ublk";

    private const string Prefix = "/dev/ublkb";

    private static readonly TimeSpan ClaimTimeout = TimeSpan.FromSeconds(5);

    /// <inheritdoc/>
    public override string Driver => Name;

    /// <summary>Reads the number of a device from its path.</summary>
    /// <param name="path">Such as /dev/ublkb7.</param>
    /// <param name="number">The number.</param>
    /// <returns>False when it is no such path.</returns>
    public static bool TryNumber(string path, out int number)
    {
        number = -1;
        return path.StartsWith(Prefix, StringComparison.Ordinal)
            && int.TryParse(path.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }

    /// <inheritdoc/>
    public override bool IsPath(string path) => TryNumber(path, out _);

    /// <inheritdoc/>
    public override bool IsHeld(AttachEntry entry, AttachState state, string device) =>
        TryNumber(device, out int number) && Query(number) is { } status && IsOf(status, state);

    /// <inheritdoc/>
    public override string? Find(AttachEntry entry)
    {
        if (entry.Read() is not { Driver: Name } state)
        {
            return null;
        }

        try
        {
            return UblkDevices.List().FirstOrDefault(status => IsOf(status, state))?.Path;
        }
        catch (UblkException)
        {
            // The driver was unloaded, and with it all devices; or we may not ask.
            return null;
        }
    }

    /// <inheritdoc/>
    public override IReadOnlyList<DeviceHolder> TakeDown(AttachEntry entry, AttachState state, bool force)
    {
        if (!IsHeld(entry, state, state.Device) || !TryNumber(state.Device, out int number))
        {
            return [];
        }

        // Without opening it: whatever is asked of it waits for a process that does not come.
        IReadOnlyList<DeviceHolder> holders = DeviceHolders.Find(state.Device);
        if (holders.Count > 0 && !force)
        {
            throw new DeviceBusyException(state.Device, holders);
        }

        HelperAnswer? claim = force ? null : Claim(state.Device);
        try
        {
            UblkDevices.RemoveAsync(number, stopped: () => LetGo(claim)).GetAwaiter().GetResult();
        }
        catch (UblkException e)
        {
            throw new AttachException(e.Message);
        }
        finally
        {
            LetGo(claim);
        }

        DeviceNode.RemoveStale(state.Device);
        return holders;
    }

    /// <inheritdoc/>
    public override string? LossWithoutDaemon(AttachEntry entry, AttachState state) => IsHeld(entry, state, state.Device)
        ? $"{state.Device}: its process was dead, so that nobody asked the server to flush: what it crashes with now may be lost; 'attach {RecoveryWords.Option}' before detaching avoids that"
        : null;

    /// <inheritdoc/>
    public override string DescribeStale(string device) => device.Length == 0
        ? "its process is gone, and there is no device"
        : $"its process is gone, and requests wait; 'nbdfuse attach {RecoveryWords.Option} {device}' goes on with it, 'nbdfuse detach --force {device}' gives up what waits";

    /// <summary>
    /// Whether a device is that of a state. A process that is alive and began at another time than that of the state has its number
    /// again, and a device of its own.
    /// </summary>
    /// <param name="status">What the kernel says.</param>
    /// <param name="state">The state.</param>
    internal static bool IsOf(UblkDeviceStatus status, AttachState state) =>
        status.IsOurs && ServerOf(state) is var (pid, began) && pid > 0 && status.ServerPid == pid
        && (AttachEntry.ProcessStart(pid) is var start && (start < 0 || start == began));

    private static (int Pid, long Start) ServerOf(AttachState state) =>
        state.Worker > 0 ? (state.Worker, state.WorkerStart) : (state.Pid, state.ProcessStart);

    // By another process, with a deadline: opening may wait for somebody who waits for the dead server.
    private static HelperAnswer Claim(string device)
    {
        Task<HelperAnswer> asking = LoopHelper.StartAsync(LoopHelperCommand.Claim, device);
        if (!asking.Wait(ClaimTimeout))
        {
            throw new AttachException(
                $"{device}: cannot find out whether it is in use, since requests wait for its dead process; 'nbdfuse attach {RecoveryWords.Option} {device}' goes on with it, 'nbdfuse detach --force {device}' gives up what waits");
        }

        HelperAnswer answer = asking.Result;
        if (!answer.IsDone)
        {
            LetGo(answer);
            throw new AttachException(answer.Fields[1]);
        }

        return answer;
    }

    private static void LetGo(HelperAnswer? claim) => claim?.DisposeAsync().AsTask().GetAwaiter().GetResult();

    private static UblkDeviceStatus? Query(int number)
    {
        try
        {
            return UblkDevices.Query(number);
        }
        catch (UblkException)
        {
            return null;
        }
    }
}
