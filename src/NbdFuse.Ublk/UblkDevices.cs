using System.Globalization;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

/// <summary>The ublk devices of this machine, those of dead processes included.</summary>
/// <remarks>THREADING: any thread; the calls block.</remarks>
public static class UblkDevices
{
    private const string ClassDirectory = "/sys/class/ublk-char";
    private const string CharacterPrefix = "ublkc";

    /// <summary>All devices, by number. None when the driver is not there.</summary>
    /// <param name="deviceDirectory">Where device nodes are.</param>
    /// <exception cref="UblkException">There are some, and the driver cannot be asked about them.</exception>
    public static IReadOnlyList<UblkDeviceStatus> List(string deviceDirectory = "/dev")
    {
        int[] numbers = Numbers();
        if (numbers.Length == 0)
        {
            return [];
        }

        using UblkControl control = UblkControl.Open(deviceDirectory);
        return [.. numbers.Select(number => Query(control, deviceDirectory, number)).OfType<UblkDeviceStatus>()];
    }

    /// <summary>One device.</summary>
    /// <param name="number">Number of the device.</param>
    /// <param name="deviceDirectory">Where device nodes are.</param>
    /// <returns>Null when there is none of this number.</returns>
    /// <exception cref="UblkException">The driver cannot be asked.</exception>
    public static UblkDeviceStatus? Query(int number, string deviceDirectory = "/dev")
    {
        using UblkControl control = UblkControl.Open(deviceDirectory);
        return Query(control, deviceDirectory, number);
    }

    /// <summary>
    /// Removes a device whose process has died: requests that wait for a new one get errors. A process that is alive sees its device
    /// stopped; as long as it does not answer what is under way, this waits.
    /// </summary>
    /// <param name="number">Number of the device.</param>
    /// <param name="deviceDirectory">Where device nodes are.</param>
    /// <param name="stopped">Called once the device cannot be opened any more, before its number is freed; null for nothing.</param>
    /// <exception cref="UblkException">The kernel would not let go. A device that is gone is a success.</exception>
    public static async Task RemoveAsync(int number, string deviceDirectory = "/dev", Action? stopped = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(number);
        using UblkControl control = UblkControl.Open(deviceDirectory);
        uint id = (uint)number;
        int result = await Task.Factory.StartNew(
            () =>
            {
                int result = control.Stop(id);
                if (result is < 0 and not -Errno.ENODEV)
                {
                    return result;
                }

                stopped?.Invoke();
                return control.Delete(id);
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default).ConfigureAwait(false);
        if (result < 0)
        {
            throw UblkErrors.Command("cannot be removed", number, result);
        }
    }

    private static int[] Numbers()
    {
        if (!Directory.Exists(ClassDirectory))
        {
            return [];
        }

        return
        [
            .. Directory.EnumerateFileSystemEntries(ClassDirectory, CharacterPrefix + "*")
                .Select(path => Path.GetFileName(path)[CharacterPrefix.Length..])
                .Select(text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : -1)
                .Where(number => number >= 0)
                .Order(),
        ];
    }

    private static UblkDeviceStatus? Query(UblkControl control, string deviceDirectory, int number)
    {
        uint id = (uint)number;
        int result = control.GetInfo(id, out UblkDeviceInfo info);
        if (result == -Errno.ENODEV)
        {
            return null;
        }

        UblkParams parameters = default;
        result = result < 0 ? result : control.GetParams(id, out parameters);
        if (result < 0)
        {
            throw UblkErrors.Command("cannot be asked about", number, result);
        }

        return new UblkDeviceStatus(
            number,
            UblkNodes.Disk(deviceDirectory, id),
            info.State,
            info.ServerPid,
            info.ServerPid > 0 && Directory.Exists($"/proc/{info.ServerPid}"),
            info.ServerFlags == UblkGeometry.ServerMark,
            (long)parameters.Basic.DeviceSectors * UblkConstants.SectorBytes,
            (parameters.Basic.Attributes & UblkAttributes.ReadOnly) != 0,
            (info.Flags & UblkFeatures.UserRecovery) != 0);
    }
}
