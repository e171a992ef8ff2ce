using System.Globalization;
using NbdFuse.Attach.Partitions;
using NbdFuse.Native;
using NbdFuse.Native.Block;

namespace NbdFuse.Attach;

/// <summary>The partitions of a device as the kernel has them, and their nodes.</summary>
/// <remarks>THREADING: reads the device; the rule of <see cref="LoopDevice"/> holds.</remarks>
public static class PartitionNodes
{
    /// <summary>Makes partitions usable: those that the kernel has found, or else those that the table on the device names.</summary>
    /// <param name="path">The device.</param>
    /// <returns>Paths of the nodes, in the order of their numbers.</returns>
    /// <exception cref="AttachException">A node could not be made.</exception>
    public static IReadOnlyList<string> Create(string path)
    {
        if (Numbers(path).Count == 0 && !LoopDevice.TryNumber(path, out _))
        {
            using FileDescriptor device = LoopDevice.Own(Posix.Open(path, OpenFlags.ReadOnly), path);

            // First the kernel's own parser, which knows more kinds of tables. Loop devices have just been scanned.
            Posix.Ioctl(device.Value, BlockConstants.RereadPartitions, 0);
        }

        if (Numbers(path).Count == 0)
        {
            using FileDescriptor device = LoopDevice.Own(Posix.Open(path, OpenFlags.ReadOnly), path);
            foreach (PartitionEntry entry in PartitionTable.Read(ReaderOf(device), LoopDevice.Size(device), LoopDevice.LogicalBlock(device)))
            {
                var partition = new BlkpgPartition { Start = entry.Start, Length = entry.Length, Number = entry.Number };

                // One that overlaps another is refused (EBUSY): the table is wrong there, the others are still good.
                Posix.Blkpg(device.Value, BlockConstants.PartitionAdd, partition);
            }
        }

        List<string> nodes = [];
        foreach (int number in Numbers(path))
        {
            string node = NodeOf(path, number);
            string[] device = File.ReadAllText($"/sys/class/block/{Path.GetFileName(node)}/dev").Trim().Split(':');
            DeviceNode.Ensure(
                node, uint.Parse(device[0], CultureInfo.InvariantCulture), uint.Parse(device[1], CultureInfo.InvariantCulture));
            nodes.Add(node);
        }

        return nodes;
    }

    /// <summary>Removes all partitions of a device.</summary>
    /// <param name="path">The device.</param>
    /// <param name="device">The same, open.</param>
    /// <returns>False when one is in use.</returns>
    public static bool TryRemove(string path, FileDescriptor device)
    {
        bool all = true;
        foreach (int number in Numbers(path))
        {
            int result = Posix.Blkpg(device.Value, BlockConstants.PartitionDelete, new BlkpgPartition { Number = number });
            all &= result >= 0 || result == -Errno.ENXIO;
            DeviceNode.RemoveStale(NodeOf(path, number));
        }

        return all;
    }

    /// <summary>The partitions that the kernel has, with their places, for <see cref="Restore"/>.</summary>
    /// <param name="path">The device.</param>
    public static IReadOnlyList<PartitionEntry> List(string path)
    {
        List<PartitionEntry> entries = [];
        foreach (int number in Numbers(path))
        {
            string directory = $"/sys/class/block/{Path.GetFileName(NodeOf(path, number))}";
            entries.Add(new PartitionEntry(number, Sectors($"{directory}/start"), Sectors($"{directory}/size")));
        }

        return entries;
    }

    /// <summary>Makes partitions again that <see cref="TryRemove"/> has removed, because another one is in use.</summary>
    /// <param name="path">The device.</param>
    /// <param name="device">The same, open.</param>
    /// <param name="partitions">All that there were.</param>
    public static void Restore(string path, FileDescriptor device, IReadOnlyList<PartitionEntry> partitions)
    {
        HashSet<int> present = [.. Numbers(path)];
        foreach (PartitionEntry entry in partitions.Where(entry => !present.Contains(entry.Number)))
        {
            var partition = new BlkpgPartition { Start = entry.Start, Length = entry.Length, Number = entry.Number };
            Posix.Blkpg(device.Value, BlockConstants.PartitionAdd, partition);
            string node = NodeOf(path, entry.Number);
            if (DeviceNode.Number(node) is var (major, minor))
            {
                DeviceNode.Ensure(node, major, minor);
            }
        }
    }

    /// <summary>Numbers of the partitions that the kernel has, in ascending order.</summary>
    /// <param name="path">The device.</param>
    public static IReadOnlyList<int> Numbers(string path)
    {
        string name = Path.GetFileName(path);
        string directory = $"/sys/block/{name}";
        if (!Directory.Exists(directory))
        {
            return [];
        }

        List<int> numbers = [];
        foreach (string entry in Directory.EnumerateDirectories(directory, $"{name}p*"))
        {
            if (int.TryParse(Path.GetFileName(entry).AsSpan(name.Length + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int number))
            {
                numbers.Add(number);
            }
        }

        numbers.Sort();
        return numbers;
    }

    /// <summary>Path of a partition.</summary>
    /// <param name="path">A device whose name ends in a digit.</param>
    /// <param name="number">From 1.</param>
    public static string NodeOf(string path, int number) => string.Create(CultureInfo.InvariantCulture, $"{path}p{number}");

    /// <summary>Reads an open file or device.</summary>
    /// <param name="file">The file.</param>
    public static DeviceRead ReaderOf(FileDescriptor file) => (offset, buffer) =>
    {
        while (!buffer.IsEmpty)
        {
            int count = Posix.PRead(file.Value, buffer, offset);
            if (count <= 0)
            {
                return false;
            }

            offset += count;
            buffer = buffer[count..];
        }

        return true;
    };

    // sysfs counts in 512 bytes whatever the block size.
    private static long Sectors(string path) => long.Parse(File.ReadAllText(path).Trim(), CultureInfo.InvariantCulture) * 512;
}
