using System.Globalization;
using NbdFuse.Attach;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>What a user means by the argument of detach.</summary>
/// <param name="Device">Path of the whole device.</param>
/// <param name="MountPoint">Where a file system on it is mounted, when that was named; null when the device was.</param>
internal sealed record DetachTarget(string Device, string? MountPoint)
{
    // As the kernel (path_resolution(7)).
    private const int MaximumLinks = 40;

    /// <summary>Finds the device.</summary>
    /// <param name="argument">A device, a partition, or a mountpoint.</param>
    /// <exception cref="AttachException">It is neither.</exception>
    public static DetachTarget Resolve(string argument)
    {
        string path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(argument));

        // As it was given first: the node of a device may be a link itself in some /dev.
        return Find(path, argument) ?? Find(ResolveLinks(path), argument)
            ?? (DeviceDrivers.All.Any(driver => driver.Kind.IsPath(path))
                ? new DetachTarget(path, null)
                : throw new AttachException($"{argument} is neither a block device nor a mountpoint"));
    }

    private static DetachTarget? Find(string path, string argument)
    {
        if (Posix.Lstat(path, out FileStatus status) >= 0 && status.IsBlockDevice)
        {
            return new DetachTarget(WholeDevice(path, Number(status)), null);
        }

        // Mounts stack: the last one is on top. Not looked at, since the file system may hang.
        string? source = null;
        string number = string.Empty;
        foreach (string line in File.ReadLines("/proc/self/mountinfo"))
        {
            string[] fields = line.Split(' ');
            int dash = Array.IndexOf(fields, "-");
            if (dash > 5 && dash + 2 < fields.Length && DeviceHolders.Unescape(fields[4]) == path)
            {
                source = DeviceHolders.Unescape(fields[dash + 2]);
                number = fields[2];
            }
        }

        if (source is null)
        {
            return null;
        }

        // The number is that of the device but for file systems with numbers of their own; the source may be any name.
        if (Directory.Exists($"/sys/dev/block/{number}"))
        {
            return new DetachTarget(WholeDevice(source, number), path);
        }

        return Posix.Stat(source, out FileStatus device) >= 0 && device.IsBlockDevice
            ? new DetachTarget(WholeDevice(source, Number(device)), path)
            : throw new AttachException($"{argument}: what is mounted there stands on no block device; 'fusermount3 -u {argument}' unmounts a file");
    }

    /// <summary>Resolves all symbolic links by their text, since looking at what they lead to may hang.</summary>
    /// <param name="path">An absolute path.</param>
    internal static string ResolveLinks(string path)
    {
        string resolved = "/";
        var rest = new Stack<string>(path.Split('/').Reverse());
        int links = 0;
        while (rest.TryPop(out string? part))
        {
            if (part is "" or ".")
            {
                continue;
            }

            if (part == "..")
            {
                resolved = Path.GetDirectoryName(resolved) ?? "/";
                continue;
            }

            string next = Path.Combine(resolved, part);
            if (Posix.ReadLink(next, out string? target) < 0 || ++links > MaximumLinks)
            {
                resolved = next;
                continue;
            }

            resolved = target!.StartsWith('/') ? "/" : resolved;
            foreach (string piece in target.Split('/').Reverse())
            {
                rest.Push(piece);
            }
        }

        return resolved;
    }

    private static string Number(in FileStatus status) =>
        string.Create(CultureInfo.InvariantCulture, $"{status.RDeviceMajor}:{status.RDeviceMinor}");

    // /sys/dev/block/7:0 leads to .../block/loop0, that of a partition to .../block/loop0/loop0p1.
    private static string WholeDevice(string path, string number)
    {
        if (Posix.ReadLink($"/sys/dev/block/{number}", out string? target) < 0)
        {
            return path;
        }

        string[] parts = target!.Split('/');
        string name = parts.Length > 1 && parts[^2] != "block" ? parts[^2] : parts[^1];
        return $"/dev/{name}";
    }
}
