using System.Globalization;
using System.Text;
using NbdFuse.Native;

namespace NbdFuse.Fuse;

/// <summary>Mounts /dev/fuse: by itself when it may, through fusermount3 otherwise.</summary>
public static class FuseMounter
{
    private const string Device = "/dev/fuse";

    /// <summary>Mounts. The kernel sends INIT at once; the file is usable when the session has answered it.</summary>
    /// <param name="target">Where.</param>
    /// <param name="options">How.</param>
    /// <returns>The mount.</returns>
    /// <exception cref="FuseException">It could not; the message says why and what to do.</exception>
    public static FuseMount Mount(MountTarget target, FuseMountOptions options)
    {
        // auto_unmount is something that only the helper, which outlives us, can do.
        if (!options.AutoUnmount)
        {
            FuseMount? mount = TryDirectly(target, options);
            if (mount is not null)
            {
                return mount;
            }
        }

        if (Posix.Stat(Device, out _) == -Errno.ENOENT)
        {
            throw NoDevice();
        }

        (FileDescriptor device, FileDescriptor? keeper) = Fusermount.Mount(target.Path, HelperOptions(options), options.AutoUnmount);
        int result = Posix.SetNonBlocking(device.Value, true);
        if (result < 0)
        {
            device.Dispose();
            keeper?.Dispose();
            throw new FuseException($"{target.Path}: cannot prepare {Device}: {Errno.Describe(result)}", -result);
        }

        return new FuseMount(target, device, keeper, byHelper: true);
    }

    /// <returns>Null when mount(2) is not for us, and the helper has to be asked.</returns>
    private static FuseMount? TryDirectly(MountTarget target, FuseMountOptions options)
    {
        int fd = Posix.Open(Device, OpenFlags.ReadWrite | OpenFlags.NonBlocking | OpenFlags.CloseOnExec);
        if (fd is -Errno.ENOENT or -Errno.ENXIO or -Errno.ENODEV)
        {
            throw NoDevice();
        }

        if (fd is -Errno.EACCES or -Errno.EPERM)
        {
            return Posix.GetEuid() == 0
                ? throw new FuseException($"{Device}: {Errno.Describe(fd)}; a container must be given the device (--device {Device})", -fd)
                : null;
        }

        if (fd < 0)
        {
            throw new FuseException($"{Device}: {Errno.Describe(fd)}", -fd);
        }

        FileDescriptor device = FileDescriptor.Own(fd);
        string data = KernelOptions(target, options, fd);
        int result = Posix.Mount(options.FileSystemName, target.Path, $"fuse.{options.Subtype}", options.Flags, data);
        if (result == -Errno.ENODEV)
        {
            // A kernel without subtypes in the type knows the plain name.
            result = Posix.Mount(options.FileSystemName, target.Path, "fuse", options.Flags, data);
        }

        if (result >= 0)
        {
            return new FuseMount(target, device, keeper: null, byHelper: false);
        }

        device.Dispose();
        return result switch
        {
            -Errno.EPERM => null,
            -Errno.ENODEV => throw new FuseException(
                $"{target.Path}: the kernel does not know FUSE; load the driver with 'modprobe fuse'", Errno.ENODEV),
            _ => throw new FuseException($"{target.Path}: cannot mount: {Errno.Describe(result)}", -result),
        };
    }

    private static string KernelOptions(MountTarget target, FuseMountOptions options, int fd)
    {
        string rootMode = target.IsFile ? "100000" : "40000";
        StringBuilder data = new();
        data.Append(
            CultureInfo.InvariantCulture,
            $"fd={fd},rootmode={rootMode},user_id={Posix.GetEuid()},group_id={Posix.GetEgid()}");
        AppendCommon(data, options);
        return data.ToString();
    }

    private static string HelperOptions(FuseMountOptions options)
    {
        StringBuilder data = new();
        data.Append(options.IsReadOnly ? "ro" : "rw");
        (MountFlags Flag, string Name)[] names =
        [
            (MountFlags.NoExec, "noexec"),
            (MountFlags.NoAccessTime, "noatime"),
            (MountFlags.Synchronous, "sync"),
        ];
        foreach ((MountFlags flag, string name) in names)
        {
            if ((options.Flags & flag) != 0)
            {
                data.Append(',').Append(name);
            }
        }

        data.Append(",fsname=").Append(Escape(options.FileSystemName));
        data.Append(",subtype=").Append(Escape(options.Subtype));
        if (options.AutoUnmount)
        {
            data.Append(",auto_unmount");
        }

        AppendCommon(data, options);
        return data.ToString();
    }

    private static void AppendCommon(StringBuilder data, FuseMountOptions options)
    {
        if (options.AllowOther || options.AllowRoot)
        {
            data.Append(",allow_other");
        }

        if (options.ChecksPermissions)
        {
            data.Append(",default_permissions");
        }

        if (options.MaximumRead != 0)
        {
            data.Append(CultureInfo.InvariantCulture, $",max_read={options.MaximumRead}");
        }
    }

    private static string Escape(string value) =>
        value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace(",", "\\,", StringComparison.Ordinal);

    private static FuseException NoDevice() =>
        new($"{Device} does not exist; load the driver with 'modprobe fuse', or give the container the device", Errno.ENOENT);
}
