using System.Globalization;
using NbdFuse.Native;

namespace NbdFuse.Attach;

/// <summary>Nodes in /dev, for machines where neither devtmpfs nor udev makes them.</summary>
public static class DeviceNode
{
    // Read and write for the owner, as for every disk.
    private const uint Mode = FileStatus.TypeBlock | 0x180;

    /// <summary>Makes the node of a block device unless it exists.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="major">Major number.</param>
    /// <param name="minor">Minor number.</param>
    /// <exception cref="AttachException">It could not, or another device has the name.</exception>
    public static void Ensure(string path, uint major, uint minor)
    {
        int result = Posix.Stat(path, out FileStatus status);
        if (result >= 0)
        {
            if (!status.IsBlockDevice || status.RDeviceMajor != major || status.RDeviceMinor != minor)
            {
                throw new AttachException($"{path} exists, but is not the block device {major}:{minor}; remove it");
            }

            return;
        }

        // The C library's encoding of a device number (makedev).
        ulong device = ((ulong)(major & 0xFFFFF000) << 32) | ((ulong)(major & 0xFFF) << 8) | ((ulong)(minor & 0xFFFFFF00) << 12) | (minor & 0xFF);
        result = Posix.Mknod(path, Mode, device);
        if (result < 0 && result != -Errno.EEXIST)
        {
            throw new AttachException($"{path}: there is no such node, and it cannot be made: {Errno.Describe(result)}");
        }
    }

    /// <summary>Number of a block device by its name, whatever its node is (/sys/class/block/NAME/dev).</summary>
    /// <param name="path">Path of the node, there or not.</param>
    /// <returns>Major and minor number; null when the kernel has no such device.</returns>
    public static (uint Major, uint Minor)? Number(string path)
    {
        try
        {
            string[] number = File.ReadAllText($"/sys/class/block/{Path.GetFileName(path)}/dev").Trim().Split(':');
            return (uint.Parse(number[0], CultureInfo.InvariantCulture), uint.Parse(number[1], CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Removes the node of a device that is gone; devtmpfs has done it already.</summary>
    /// <param name="path">Its path.</param>
    public static void RemoveStale(string path)
    {
        if (!Directory.Exists($"/sys/class/block/{Path.GetFileName(path)}") && Posix.Lstat(path, out FileStatus status) >= 0 && status.IsBlockDevice)
        {
            Posix.Unlink(path);
        }
    }
}
