using System.Globalization;
using System.Text;
using NbdFuse.Native;

namespace NbdFuse.Attach;

/// <summary>Finds who uses a block device or one of its partitions.</summary>
/// <remarks>
/// Looks at names only, never at what they point to: a file of a hanging file system may be among them.
/// It sees what the caller may see; without root the descriptors of others stay hidden.
/// </remarks>
public static class DeviceHolders
{
    /// <summary>Finds them.</summary>
    /// <param name="device">The whole device.</param>
    /// <param name="exceptThread">A thread whose process is left out: one that runs the device; 0 for none.</param>
    /// <returns>Mounts first, then swap, devices, processes.</returns>
    public static IReadOnlyList<DeviceHolder> Find(string device, int exceptThread = 0)
    {
        List<string> nodes = [device, .. PartitionNodes.Numbers(device).Select(number => PartitionNodes.NodeOf(device, number))];
        Dictionary<string, string> numbers = DeviceNumbers(nodes);
        List<DeviceHolder> result = [];
        HashSet<string> namespaces = [];
        List<DeviceHolder> processes = [];
        foreach (int pid in Processes())
        {
            string directory = string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}");

            // One process of each mount namespace tells all of its mounts.
            if (Posix.ReadLink($"{directory}/ns/mnt", out string? name) >= 0 && namespaces.Add(name!))
            {
                foreach (string line in Lines($"{directory}/mountinfo"))
                {
                    AddMount(line, nodes, result, numbers);
                }
            }

            if (pid != Environment.ProcessId
                && (exceptThread == 0 || !Directory.Exists(string.Create(CultureInfo.InvariantCulture, $"{directory}/task/{exceptThread}"))))
            {
                AddDescriptors(directory, pid, nodes, processes);
            }
        }

        foreach (string line in Lines("/proc/swaps"))
        {
            string path = Unescape(line.Split(' ', '\t')[0]);
            if (nodes.Contains(path))
            {
                result.Add(new DeviceHolder(DeviceHolderKind.Swap, path, path));
            }
        }

        foreach (string node in nodes)
        {
            string holders = $"/sys/class/block/{Path.GetFileName(node)}/holders";
            foreach (string holder in Names(holders))
            {
                result.Add(new DeviceHolder(DeviceHolderKind.Device, node, $"/dev/{holder}"));
            }
        }

        result.AddRange(processes);
        return result;
    }

    /// <summary>Finds where a device or one of its partitions is mounted, as this process sees it.</summary>
    /// <param name="device">The whole device.</param>
    /// <returns>Mountpoints, the last one mounted first: mounts may stand in each other.</returns>
    public static IReadOnlyList<string> FindMountPoints(string device)
    {
        List<string> nodes = [device, .. PartitionNodes.Numbers(device).Select(number => PartitionNodes.NodeOf(device, number))];
        Dictionary<string, string> numbers = DeviceNumbers(nodes);
        List<DeviceHolder> mounts = [];
        foreach (string line in Lines("/proc/self/mountinfo"))
        {
            AddMount(line, nodes, mounts, numbers);
        }

        return [.. mounts.Select(mount => mount.What).Reverse()];
    }

    /// <summary>Which of several devices is mounted at a line of mountinfo (proc_pid_mountinfo(5)).</summary>
    /// <param name="line">The line.</param>
    /// <param name="nodes">Paths of devices.</param>
    /// <param name="holders">Receives the mount, unless it is known already.</param>
    /// <param name="numbers">The devices by MAJOR:MINOR, or null.</param>
    internal static void AddMount(
        string line, IReadOnlyList<string> nodes, List<DeviceHolder> holders, IReadOnlyDictionary<string, string>? numbers = null)
    {
        // By the number, since the source may be another name of the device (/dev/root, a symlink), and by the source's name, since
        // btrfs has numbers of its own.
        string[] fields = line.Split(' ');
        int dash = Array.IndexOf(fields, "-");
        if (dash < 6 || dash + 2 >= fields.Length)
        {
            return;
        }

        string source = Unescape(fields[dash + 2]);
        source = numbers?.GetValueOrDefault(fields[2]) ?? source;
        if (nodes.Contains(source))
        {
            var holder = new DeviceHolder(DeviceHolderKind.Mount, source, Unescape(fields[4]));
            if (!holders.Contains(holder))
            {
                holders.Add(holder);
            }
        }
    }

    /// <summary>Undoes the octal escapes of /proc's tables.</summary>
    /// <param name="text">Such as <c>a\040b</c>.</param>
    public static string Unescape(string text)
    {
        if (!text.Contains('\\', StringComparison.Ordinal))
        {
            return text;
        }

        byte[] bytes = Encoding.UTF8.GetBytes(text);
        int to = 0;
        for (int from = 0; from < bytes.Length; from++)
        {
            if (bytes[from] == '\\' && from + 3 < bytes.Length && bytes[from + 1] is >= (byte)'0' and <= (byte)'3'
                && bytes[from + 2] is >= (byte)'0' and <= (byte)'7' && bytes[from + 3] is >= (byte)'0' and <= (byte)'7')
            {
                bytes[to++] = (byte)(((bytes[from + 1] - '0') << 6) | ((bytes[from + 2] - '0') << 3) | (bytes[from + 3] - '0'));
                from += 3;
            }
            else
            {
                bytes[to++] = bytes[from];
            }
        }

        return Encoding.UTF8.GetString(bytes, 0, to);
    }

    private static Dictionary<string, string> DeviceNumbers(List<string> nodes)
    {
        Dictionary<string, string> numbers = [];
        foreach (string node in nodes)
        {
            if (DeviceNode.Number(node) is var (major, minor))
            {
                numbers[string.Create(CultureInfo.InvariantCulture, $"{major}:{minor}")] = node;
            }
        }

        return numbers;
    }

    private static void AddDescriptors(string directory, int pid, List<string> nodes, List<DeviceHolder> holders)
    {
        HashSet<string> seen = [];
        foreach (string descriptor in Names($"{directory}/fd"))
        {
            if (Posix.ReadLink($"{directory}/fd/{descriptor}", out string? target) >= 0 && nodes.Contains(target!) && seen.Add(target!))
            {
                string name = Lines($"{directory}/comm").FirstOrDefault() ?? "?";
                holders.Add(new DeviceHolder(
                    DeviceHolderKind.Process, target!, string.Create(CultureInfo.InvariantCulture, $"process {pid} ({name})")));
            }
        }
    }

    private static IEnumerable<int> Processes() =>
        Names("/proc").Select(name => int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int pid) ? pid : 0).Where(pid => pid > 0);

    // What belongs to a process may be gone at any moment, and what belongs to others may be closed to us: neither is there.
    private static string[] Names(string directory)
    {
        try
        {
            return [.. new NameEnumeration(directory)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    private static string[] Lines(string path)
    {
        try
        {
            return File.ReadAllLines(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
