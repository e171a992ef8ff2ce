using NbdFuse.Attach.Partitions;
using NbdFuse.Native;

namespace NbdFuse.Attach;

/// <summary>Makes sure that nobody needs a block device any more, of whatever kind, before its driver takes it down.</summary>
/// <remarks>THREADING: waits for the device's answers; never in a process that serves it.</remarks>
public static class DeviceRelease
{
    // How long somebody may have a device open and still count as passing by.
    private const int PassingMs = 1000;

    /// <summary>Checks who uses the device, flushes it, and removes its partitions.</summary>
    /// <param name="path">The whole device.</param>
    /// <param name="device">The same, open.</param>
    /// <param name="force">Do not flush, and go on although the device is in use.</param>
    /// <param name="flush">Ask for a last flush, and fail when it fails; pointless when nobody serves the device any more.</param>
    /// <returns>Who still uses it; with <paramref name="force"/> only.</returns>
    /// <exception cref="DeviceBusyException">It is in use, and nothing was done.</exception>
    /// <exception cref="AttachException">The flush failed; the partitions are still there.</exception>
    public static IReadOnlyList<DeviceHolder> Release(string path, FileDescriptor device, bool force, bool flush)
    {
        IReadOnlyList<DeviceHolder> holders = FindLasting(path, force);
        if (holders.Count > 0 && !force)
        {
            throw new DeviceBusyException(path, holders);
        }

        // Whoever wrote to the device without a flush has closed it by now, and the kernel wrote back then: this asks the server
        // for the last flush, while its errors can still be told.
        int result = force || !flush ? 0 : Posix.Fsync(device.Value);
        if (result < 0)
        {
            throw new AttachException(
                $"{path}: the last flush failed: {Errno.Describe(result)}; 'nbdfuse detach --force {path}' gives up what was not flushed");
        }

        IReadOnlyList<PartitionEntry> partitions = PartitionNodes.List(path);
        if (!PartitionNodes.TryRemove(path, device) && !force)
        {
            PartitionNodes.Restore(path, device, partitions);
            throw new DeviceBusyException(path, DeviceHolders.Find(path));
        }

        return holders;
    }

    /// <summary>
    /// Opens a device and releases it; see the other overload. Without <paramref name="force"/> the device is opened for ourselves
    /// (O_EXCL): nothing in the kernel uses it then, under whatever name, and nothing can begin to until the descriptor is closed.
    /// </summary>
    /// <param name="path">The whole device; one that the kernel does not have needs nothing.</param>
    /// <param name="force">Do not flush, and go on although the device is in use.</param>
    /// <param name="flush">Ask for a last flush, and fail when it fails.</param>
    /// <param name="claim">The open device, to be held until its driver has ended it; null when there is none, or with force.</param>
    /// <returns>Who still uses it; with <paramref name="force"/> only.</returns>
    /// <exception cref="DeviceBusyException">It is in use, and nothing was done.</exception>
    /// <exception cref="AttachException">The flush failed; the partitions are still there.</exception>
    public static IReadOnlyList<DeviceHolder> Release(string path, bool force, bool flush, out FileDescriptor? claim)
    {
        claim = null;
        if (force)
        {
            int fd = Posix.Open(path, OpenFlags.ReadOnly | OpenFlags.NonBlocking);
            if (fd is -Errno.ENOENT or -Errno.ENXIO or -Errno.ENODEV)
            {
                return [];
            }

            using FileDescriptor device = LoopDevice.Own(fd, path);
            return Release(path, device, force, flush);
        }

        claim = Claim(path);
        if (claim is null)
        {
            return [];
        }

        try
        {
            return Release(path, claim, force, flush);
        }
        catch
        {
            claim.Dispose();
            claim = null;
            throw;
        }
    }

    /// <summary>Opens a device for ourselves. Reads nothing of it.</summary>
    /// <param name="path">The whole device.</param>
    /// <returns>The open device; null when the kernel does not have it.</returns>
    /// <exception cref="DeviceBusyException">The kernel uses it or a partition: a mount, swap, another device.</exception>
    /// <exception cref="AttachException">It cannot be opened.</exception>
    public static FileDescriptor? Claim(string path)
    {
        if (DeviceNode.Number(path) is not var (major, minor))
        {
            return null;
        }

        // A node that is missing does not make the device unused.
        DeviceNode.Ensure(path, major, minor);
        long end = MonotonicClock.Milliseconds + PassingMs;
        while (true)
        {
            int fd = Posix.Open(path, OpenFlags.ReadOnly | OpenFlags.NonBlocking | OpenFlags.Exclusive);
            if (fd is -Errno.ENXIO or -Errno.ENODEV && DeviceNode.Number(path) is null)
            {
                return null;
            }

            if (fd != -Errno.EBUSY)
            {
                return LoopDevice.Own(fd, path);
            }

            IReadOnlyList<DeviceHolder> holders = DeviceHolders.Find(path);
            if (holders.Any(holder => holder.Kind != DeviceHolderKind.Process) || MonotonicClock.Milliseconds > end)
            {
                throw new DeviceBusyException(path, holders);
            }

            Thread.Sleep(20);
        }
    }

    /// <summary>Finds who uses a device, without those who only look at it for a moment, as udev and every fork do.</summary>
    private static IReadOnlyList<DeviceHolder> FindLasting(string path, bool force)
    {
        long end = MonotonicClock.Milliseconds + PassingMs;
        while (true)
        {
            IReadOnlyList<DeviceHolder> holders = DeviceHolders.Find(path);
            if (force || holders.Count == 0 || holders.Any(holder => holder.Kind != DeviceHolderKind.Process) || MonotonicClock.Milliseconds > end)
            {
                return holders;
            }

            Thread.Sleep(20);
        }
    }
}
