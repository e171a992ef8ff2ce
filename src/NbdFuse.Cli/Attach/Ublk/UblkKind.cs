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

        try
        {
            UblkDevices.RemoveAsync(number).GetAwaiter().GetResult();
        }
        catch (UblkException e)
        {
            throw new AttachException(e.Message);
        }

        return holders;
    }

    /// <inheritdoc/>
    public override string DescribeStale(string device) => device.Length == 0
        ? "its process is gone, and there is no device"
        : $"its process is gone, and requests wait; 'nbdfuse attach {RecoveryWords.Option} {device}' goes on with it, 'nbdfuse detach --force {device}' gives up what waits";

    private static bool IsOf(UblkDeviceStatus status, AttachState state) =>
        status.IsOurs && state.Pid > 0 && status.ServerPid == state.Pid;

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
