using System.Globalization;
using NbdFuse.Attach;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>What a user means by the argument of detach.</summary>
/// <param name="Device">Path of the whole device.</param>
/// <param name="MountPoint">Where a file system on it is mounted, when that was named; null when the device was.</param>
internal sealed record DetachTarget(string Device, string? MountPoint)
{
    /// <summary>Finds the device.</summary>
    /// <param name="argument">A device, a partition, or a mountpoint.</param>
    /// <exception cref="AttachException">It is neither.</exception>
    public static DetachTarget Resolve(string argument)
    {
        string path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(argument));
        if (Posix.Lstat(path, out FileStatus status) >= 0 && status.IsBlockDevice)
        {
            return new DetachTarget(WholeDevice(path, status), null);
        }

        // Mounts stack: the last one is on top. Not looked at, since the file system may hang.
        string? source = null;
        foreach (string line in File.ReadLines("/proc/self/mountinfo"))
        {
            string[] fields = line.Split(' ');
            int dash = Array.IndexOf(fields, "-");
            if (dash > 5 && dash + 2 < fields.Length && DeviceHolders.Unescape(fields[4]) == path)
            {
                source = DeviceHolders.Unescape(fields[dash + 2]);
            }
        }

        if (source is null)
        {
            // The node of a device may have gone: its name is enough.
            return DeviceDrivers.All.Any(driver => driver.Kind.IsPath(path))
                ? new DetachTarget(path, null)
                : throw new AttachException($"{argument} is neither a block device nor a mountpoint");
        }

        return Posix.Stat(source, out FileStatus device) >= 0 && device.IsBlockDevice
            ? new DetachTarget(WholeDevice(source, device), path)
            : throw new AttachException($"{argument}: what is mounted there stands on no block device; 'fusermount3 -u {argument}' unmounts a file");
    }

    // /sys/dev/block/7:0 leads to .../block/loop0, that of a partition to .../block/loop0/loop0p1.
    private static string WholeDevice(string path, in FileStatus status)
    {
        string link = string.Create(CultureInfo.InvariantCulture, $"/sys/dev/block/{status.RDeviceMajor}:{status.RDeviceMinor}");
        if (Posix.ReadLink(link, out string? target) < 0)
        {
            return path;
        }

        string[] parts = target!.Split('/');
        string name = parts.Length > 1 && parts[^2] != "block" ? parts[^2] : parts[^1];
        return $"/dev/{name}";
    }
}
