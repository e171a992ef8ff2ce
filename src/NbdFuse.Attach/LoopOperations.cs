using NbdFuse.Attach.Partitions;
using NbdFuse.Native;

namespace NbdFuse.Attach;

/// <summary>The whole way up and down of a loop device with its partitions.</summary>
/// <remarks>THREADING: the rule of <see cref="LoopDevice"/> holds for both.</remarks>
public static class LoopOperations
{
    /// <summary>Attaches a device, and makes its partitions usable.</summary>
    /// <param name="file">The file below it.</param>
    /// <param name="options">How; a block size of 0 takes the one for which the disk was partitioned.</param>
    /// <returns>The device.</returns>
    /// <exception cref="AttachException">It could not; nothing is left behind.</exception>
    public static LoopAttachment Attach(string file, LoopAttachOptions options)
    {
        if (options.BlockSize == 0)
        {
            using FileDescriptor backing = LoopDevice.Own(Posix.Open(file, OpenFlags.ReadOnly), file);
            PosixException.Check(Posix.Fstat(backing.Value, out FileStatus status), file);
            options = options with { BlockSize = PartitionTable.BlockSizeOf(PartitionNodes.ReaderOf(backing), status.Size) };
        }

        string path = LoopDevice.Attach(file, options);
        try
        {
            IReadOnlyList<string> partitions = PartitionNodes.Create(path);
            using FileDescriptor device = LoopDevice.Own(Posix.Open(path, OpenFlags.ReadOnly), path);
            return new LoopAttachment(path, LoopDevice.Size(device), LoopDevice.LogicalBlock(device), partitions);
        }
        catch
        {
            TakeDown(path, options.Name, force: true, flush: false);
            throw;
        }
    }

    /// <summary>Writes back, removes the partitions, and takes the device off its file.</summary>
    /// <param name="path">The device.</param>
    /// <param name="name">Its name, see <see cref="LoopAttachOptions.Name"/>: a device that has another is left alone.</param>
    /// <param name="force">Do it to a device that is in use, too: the kernel then lets go when its last user does.</param>
    /// <param name="flush">Ask for a last flush, and fail when it fails; pointless when nobody serves the file any more.</param>
    /// <returns>Who still uses it; with <paramref name="force"/> only.</returns>
    /// <exception cref="DeviceBusyException">It is in use, and nothing was done.</exception>
    /// <exception cref="AttachException">It could not.</exception>
    public static IReadOnlyList<DeviceHolder> TakeDown(string path, string name, bool force, bool flush)
    {
        int fd = Posix.Open(path, OpenFlags.ReadOnly | OpenFlags.NonBlocking);
        if (fd is -Errno.ENOENT or -Errno.ENXIO or -Errno.ENODEV)
        {
            return [];
        }

        using FileDescriptor device = LoopDevice.Own(fd, path);
        if (LoopDevice.Status(device)?.Name != name)
        {
            return [];
        }

        IReadOnlyList<DeviceHolder> holders = DeviceRelease.Release(path, device, force, flush);
        int result = LoopDevice.Clear(device);
        return result is >= 0 or -Errno.ENXIO
            ? holders
            : throw new AttachException($"{path}: cannot detach: {Errno.Describe(result)}");
    }
}
