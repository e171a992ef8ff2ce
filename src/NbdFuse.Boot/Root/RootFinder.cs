using System.Globalization;
using NbdFuse.Protocol;

namespace NbdFuse.Boot;

/// <summary>Finds the root filesystem on the block device of the export: never on another disk of the machine.</summary>
public static class RootFinder
{
    private const string Blocks = "/sys/class/block";

    /// <summary>Finds it.</summary>
    /// <param name="device">The whole device, such as /dev/loop0.</param>
    /// <param name="root">What the boot arguments ask for.</param>
    /// <returns>The device that holds the filesystem, and what was recognised there; null for nothing known.</returns>
    /// <exception cref="BootException">There is no such partition or filesystem, or several.</exception>
    public static (string Device, FilesystemProbe? Filesystem) Find(string device, RootSelector root)
    {
        ArgumentNullException.ThrowIfNull(root);
        byte[] start = ReadStart(device);
        SortedDictionary<int, string> partitions = PartitionsOf(device);
        return root.Kind switch
        {
            RootKind.Whole => (device, FilesystemProbe.Identify(start)),
            RootKind.Partition => WithNumber(device, partitions, root.Partition),
            RootKind.PartitionUuid => WithNumber(device, partitions, NumberOf(device, start, root, ids => ids.Uuid == root.Value) + root.Partition),
            RootKind.PartitionLabel => WithNumber(device, partitions, NumberOf(device, start, root, ids => ids.Name == root.Value)),
            RootKind.Uuid => WithFilesystem(device, start, partitions, root, found => found.Uuid == root.Value),
            RootKind.Label => WithFilesystem(device, start, partitions, root, found => found.Label == root.Value),
            _ => Any(device, start, partitions),
        };
    }

    /// <summary>Reads the start of a device, in another process.</summary>
    /// <param name="device">Its path.</param>
    private static byte[] ReadStart(string device)
    {
        ProgramOutput output = Busybox.Run("head", "-c", FilesystemProbe.Length.ToString(CultureInfo.InvariantCulture), device);
        return output.ExitCode == 0 ? output.Content : throw new BootException($"{device} cannot be read");
    }

    private static SortedDictionary<int, string> PartitionsOf(string device)
    {
        SortedDictionary<int, string> result = [];
        string name = Path.GetFileName(device);
        foreach (string directory in Directory.GetDirectories(Path.Combine(Blocks, name), name + "*"))
        {
            string number = Path.Combine(directory, "partition");
            if (File.Exists(number))
            {
                result[int.Parse(File.ReadAllText(number), CultureInfo.InvariantCulture)] = $"/dev/{Path.GetFileName(directory)}";
            }
        }

        return result;
    }

    private static (string Device, FilesystemProbe? Filesystem) WithNumber(string device, SortedDictionary<int, string> partitions, int number) =>
        partitions.TryGetValue(number, out string? path)
            ? (path, FilesystemProbe.Identify(ReadStart(path)))
            : throw new BootException($"the export has no partition {number}; it has {Describe(partitions)} ({device})");

    private static int NumberOf(string device, byte[] start, RootSelector root, Func<PartitionIds, bool> isWanted) =>
        PartitionIds.Read(start).FirstOrDefault(isWanted)?.Number
        ?? throw new BootException($"the export has no partition with {root}; check the command line, or use root=/dev/nbd0pN ({device})");

    private static (string Device, FilesystemProbe? Filesystem) WithFilesystem(
        string device, byte[] start, SortedDictionary<int, string> partitions, RootSelector root, Func<FilesystemProbe, bool> isWanted)
    {
        List<string> seen = [];
        foreach (string path in partitions.Values.Prepend(device))
        {
            if (FilesystemProbe.Identify(path == device ? start : ReadStart(path)) is not { } found)
            {
                continue;
            }

            if (isWanted(found))
            {
                return (path, found);
            }

            seen.Add($"{found.Type} UUID={found.Uuid} LABEL={NbdText.Sanitize(found.Label, 64)}");
        }

        throw new BootException($"the export has no filesystem with {root}; it has {(seen.Count > 0 ? string.Join("; ", seen) : "none that is known")}");
    }

    private static (string Device, FilesystemProbe? Filesystem) Any(string device, byte[] start, SortedDictionary<int, string> partitions)
    {
        if (FilesystemProbe.Identify(start) is { } whole)
        {
            return (device, whole);
        }

        List<(string Device, FilesystemProbe? Filesystem)> found =
            [.. partitions.Values.Select(path => (path, FilesystemProbe.Identify(ReadStart(path)))).Where(pair => pair.Item2 is not null)];
        return found.Count == 1 ? found[0]
            : found.Count > 1 ? throw new BootException($"the export has filesystems on {string.Join(", ", found.Select(pair => pair.Device))}: say which by root=/dev/nbd0pN")
            : partitions.Count == 1 ? (partitions.Values.First(), null)
            : partitions.Count == 0 ? (device, null)
            : throw new BootException($"no filesystem is recognised on the export, which has {Describe(partitions)}: say which by root=/dev/nbd0pN rootfstype=TYPE");
    }

    private static string Describe(SortedDictionary<int, string> partitions) =>
        partitions.Count == 0 ? "no partitions" : $"the partitions {string.Join(", ", partitions.Keys)}";
}
