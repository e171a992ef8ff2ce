using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using NbdFuse.Native;
using NbdFuse.Native.Block;

namespace NbdFuse.Attach;

/// <summary>The kernel's loop driver (linux/loop.h).</summary>
/// <remarks>
/// THREADING: for a loop device over a file that this very process serves, never call any of this from that process. Opening,
/// configuring and closing wait for the file's answers, uninterruptibly: a thread of the server that waits so keeps its
/// descriptors open for ever, and nobody could kill it.
/// </remarks>
public static class LoopDevice
{
    /// <summary>Major number of loop devices (LOOP_MAJOR).</summary>
    public const uint Major = 7;

    private const string Control = "/dev/loop-control";
    private const string Prefix = "/dev/loop";
    private const int MaximumName = 63;

    // Others may take the number that GET_FREE has told before we do.
    private const int Attempts = 64;

    /// <summary>Path of the loop device of a number.</summary>
    /// <param name="number">0 or more.</param>
    public static string PathOf(int number) => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{number}");

    /// <summary>Reads the number out of a path.</summary>
    /// <param name="path">Such as /dev/loop7.</param>
    /// <param name="number">The number.</param>
    /// <returns>False when this is not the path of a whole loop device.</returns>
    public static bool TryNumber(string path, out int number)
    {
        number = 0;
        return path.StartsWith(Prefix, StringComparison.Ordinal)
            && int.TryParse(path.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }

    /// <summary>Puts a loop device with direct I/O and partition scan over a file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="options">How.</param>
    /// <returns>Path of the device.</returns>
    /// <exception cref="AttachException">It could not.</exception>
    public static string Attach(string file, LoopAttachOptions options)
    {
        using FileDescriptor backing = Own(Posix.Open(file, options.ReadOnly ? OpenFlags.ReadOnly : OpenFlags.ReadWrite), file);
        using FileDescriptor control = OpenControl();
        if (options.Device is { } wanted)
        {
            if (!TryNumber(wanted, out int number))
            {
                throw new AttachException($"{wanted} is no loop device: name one such as {Prefix}7, or leave --device out");
            }

            int added = Posix.Ioctl(control.Value, BlockConstants.LoopControlAdd, number);
            if (added < 0 && added != -Errno.EEXIST)
            {
                throw new AttachException($"{wanted}: cannot make the device: {Errno.Describe(added)}");
            }

            return TryConfigure(number, backing, options)
                ? wanted
                : throw new AttachException($"{wanted} is in use already: choose another with --device, or leave it out for a free one");
        }

        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            int number = Posix.Ioctl(control.Value, BlockConstants.LoopControlGetFree, 0);
            if (number < 0)
            {
                throw new AttachException($"{Control}: there is no free loop device: {Errno.Describe(number)}");
            }

            if (TryConfigure(number, backing, options))
            {
                return PathOf(number);
            }
        }

        throw new AttachException("every free loop device was taken by somebody else at once; try again");
    }

    /// <summary>What a device stands on.</summary>
    /// <param name="path">The device.</param>
    /// <returns>Null when it stands on nothing, or does not exist.</returns>
    public static LoopStatus? Status(string path)
    {
        int fd = Posix.Open(path, OpenFlags.ReadOnly | OpenFlags.NonBlocking);
        if (fd < 0)
        {
            return null;
        }

        using FileDescriptor device = FileDescriptor.Own(fd);
        return Status(device);
    }

    /// <summary>What a device stands on.</summary>
    /// <param name="device">The open device.</param>
    /// <returns>Null when it stands on nothing.</returns>
    public static LoopStatus? Status(FileDescriptor device)
    {
        LoopInfo info = default;
        if (Posix.Ioctl(device.Value, BlockConstants.LoopGetStatus64, ref info) < 0)
        {
            return null;
        }

        ReadOnlySpan<byte> name = info.FileName;
        int end = name.IndexOf((byte)0);
        return new LoopStatus(Encoding.UTF8.GetString(end < 0 ? name : name[..end]), info.Flags);
    }

    /// <summary>Finds the device that was given a name.</summary>
    /// <param name="name">See <see cref="LoopAttachOptions.Name"/>.</param>
    /// <returns>Its path, or null.</returns>
    public static string? Find(string name)
    {
        foreach (string directory in Directory.EnumerateDirectories("/sys/block", "loop*"))
        {
            string path = $"/dev/{Path.GetFileName(directory)}";

            // Only devices that stand on something: opening the others would not harm, but there are many.
            if (Directory.Exists(Path.Combine(directory, "loop")) && Status(path)?.Name == name)
            {
                return path;
            }
        }

        return null;
    }

    /// <summary>
    /// Takes the device off its file (LOOP_CLR_FD). The kernel does it when the last user closes, which may be the caller.
    /// </summary>
    /// <param name="device">The open device.</param>
    /// <returns>0 or a negative errno; ENXIO when it stands on nothing.</returns>
    public static int Clear(FileDescriptor device) => Posix.Ioctl(device.Value, BlockConstants.LoopClearFd, 0);

    /// <summary>Takes over a new size of the file (LOOP_SET_CAPACITY).</summary>
    /// <param name="path">The device.</param>
    /// <exception cref="AttachException">It could not.</exception>
    public static void UpdateCapacity(string path)
    {
        using FileDescriptor device = Own(Posix.Open(path, OpenFlags.ReadOnly), path);
        int result = Posix.Ioctl(device.Value, BlockConstants.LoopSetCapacity, 0);
        if (result < 0)
        {
            throw new AttachException($"{path}: cannot take over the new size: {Errno.Describe(result)}");
        }
    }

    /// <summary>Takes over that the file has grown. Nodes of partitions are left alone.</summary>
    /// <param name="path">The device.</param>
    /// <param name="name">The name that it was given: by now it may be somebody else's.</param>
    /// <param name="size">The new size of the file in bytes.</param>
    /// <returns>The size of the device.</returns>
    /// <exception cref="AttachException">It could not.</exception>
    public static long Grow(string path, string name, long size)
    {
        using FileDescriptor device = Own(Posix.Open(path, OpenFlags.ReadOnly), path);
        LoopInfo info = default;
        if (Status(device)?.Name != name || Posix.Ioctl(device.Value, BlockConstants.LoopGetStatus64, ref info) < 0)
        {
            throw new AttachException($"{path} is another device by now");
        }

        int block = LogicalBlock(device);
        int result;
        if (info.SizeLimit != 0 || size % block != 0)
        {
            // See SizeLimit below. The kernel refuses it (EAGAIN) while anything of the device is in the page cache.
            info.SizeLimit = (ulong)(size - (size % block));
            result = Posix.Ioctl(device.Value, BlockConstants.LoopSetStatus64, ref info);
        }
        else
        {
            result = Posix.Ioctl(device.Value, BlockConstants.LoopSetCapacity, 0);
        }

        return result >= 0 ? Size(device) : throw new AttachException($"{path}: cannot take over the new size: {Errno.Describe(result)}");
    }

    /// <summary>Size of a block device in bytes (BLKGETSIZE64).</summary>
    /// <param name="device">The open device.</param>
    /// <exception cref="AttachException">It is none.</exception>
    public static long Size(FileDescriptor device)
    {
        long size = 0;
        int result = Posix.Ioctl(device.Value, BlockConstants.GetSize64, ref size);
        return result >= 0 ? size : throw new AttachException($"cannot ask for the size of the device: {Errno.Describe(result)}");
    }

    /// <summary>Logical block size of a block device in bytes (BLKSSZGET).</summary>
    /// <param name="device">The open device.</param>
    /// <exception cref="AttachException">It is none.</exception>
    public static int LogicalBlock(FileDescriptor device)
    {
        int size = 0;
        int result = Posix.Ioctl(device.Value, BlockConstants.GetLogicalBlockSize, ref size);
        return result >= 0 ? size : throw new AttachException($"cannot ask for the block size of the device: {Errno.Describe(result)}");
    }

    /// <summary>Opens a path, with the error that a user understands.</summary>
    internal static FileDescriptor Own(int result, string path) =>
        result >= 0 ? FileDescriptor.Own(result) : throw new AttachException($"{path}: {Errno.Describe(result)}");

    private static FileDescriptor OpenControl()
    {
        int fd = Posix.Open(Control, OpenFlags.ReadWrite);
        return fd switch
        {
            >= 0 => FileDescriptor.Own(fd),
            -Errno.ENOENT or -Errno.ENODEV or -Errno.ENXIO => throw new AttachException(
                $"{Control} does not exist; load the driver with 'modprobe loop', or give the container the device"),
            -Errno.EACCES or -Errno.EPERM => throw new AttachException($"{Control}: {Errno.Describe(fd)}; loop devices need root"),
            _ => throw new AttachException($"{Control}: {Errno.Describe(fd)}"),
        };
    }

    /// <summary>
    /// Cuts what does not fill a block: the kernel counts in 512 bytes whatever the block size, and the last block could be
    /// neither read nor written as a whole.
    /// </summary>
    private static ulong SizeLimit(FileDescriptor backing, int blockSize)
    {
        PosixException.Check(Posix.Fstat(backing.Value, out FileStatus status), "size of the file");
        return blockSize > 512 && status.Size % blockSize != 0 ? (ulong)(status.Size - (status.Size % blockSize)) : 0;
    }

    /// <returns>False when somebody else has taken the device.</returns>
    private static bool TryConfigure(int number, FileDescriptor backing, LoopAttachOptions options)
    {
        string path = PathOf(number);
        DeviceNode.Ensure(path, Major, (uint)number);
        using FileDescriptor device = Own(Posix.Open(path, OpenFlags.ReadWrite), path);
        LoopConfig config = default;
        config.Fd = (uint)backing.Value;
        config.BlockSize = (uint)options.BlockSize;
        config.Info.SizeLimit = SizeLimit(backing, options.BlockSize);
        config.Info.Flags = LoopFlags.DirectIo | LoopFlags.PartitionScan | (options.ReadOnly ? LoopFlags.ReadOnly : 0);
        byte[] name = Encoding.UTF8.GetBytes(options.Name);
        name.AsSpan(0, Math.Min(name.Length, MaximumName)).CopyTo(MemoryMarshal.AsBytes(new Span<LoopName>(ref config.Info.FileName)));
        int result = Posix.Ioctl(device.Value, BlockConstants.LoopConfigure, ref config);
        switch (result)
        {
            case >= 0:
                break;
            case -Errno.EBUSY:
                return false;
            case -Errno.ENOTTY:
                throw new AttachException($"{path}: this kernel is too old (LOOP_CONFIGURE needs Linux 5.8)");
            default:
                throw new AttachException($"{path}: cannot attach: {Errno.Describe(result)}");
        }

        // The kernel drops direct I/O without a word when the file cannot; through the page cache the device would be slow,
        // and writing back could wait for memory that only writing back can free.
        if (Status(device) is not { } status || (status.Flags & LoopFlags.DirectIo) == 0)
        {
            Clear(device);
            throw new AttachException($"{path}: the kernel refuses direct I/O on the mounted file");
        }

        return true;
    }
}
