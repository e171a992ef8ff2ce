using NbdFuse.Native;
using NbdFuse.Native.Netlink;

namespace NbdFuse.Attach.KernelNbd;

/// <summary>The old interface of the kernel's nbd driver, for kernels without netlink for it: before Linux 4.12.</summary>
/// <remarks>
/// The device lives as long as a thread is in NBD_DO_IT, and any signal to that thread ends it with errors for all users:
/// SIGSTOP too, which cannot be blocked, and which systemd sends to everybody at shutdown.
/// </remarks>
public static class KernelNbdIoctl
{
    private const int StackBytes = 256 * 1024;

    /// <summary>Makes a device, and runs it until it is disconnected.</summary>
    /// <param name="index">Its number.</param>
    /// <param name="geometry">What the driver is told about the export.</param>
    /// <param name="timeoutSeconds">Seconds that a request may take; 0 for ever.</param>
    /// <param name="sockets">The connections.</param>
    /// <returns>Null when it was disconnected as asked; else one line for the user.</returns>
    public static string? Run(int index, KernelNbdGeometry geometry, int timeoutSeconds, IReadOnlyList<int> sockets)
    {
        string? failure = null;

        // All of it from one thread, which the driver insists on, and which no signal may reach.
        var thread = new Thread(() => failure = RunHere(index, geometry, timeoutSeconds, sockets), StackBytes) { Name = "nbd" };
        thread.Start();
        thread.Join();
        return failure;
    }

    /// <summary>Says goodbye to the server, whose end of the connections then ends the device.</summary>
    /// <param name="device">The open device.</param>
    /// <returns>0 or a negative errno.</returns>
    public static int Disconnect(FileDescriptor device) => Posix.Ioctl(device.Value, NbdNetlinkConstants.Disconnect, 0);

    /// <summary>Cuts the connections, which ends the device.</summary>
    /// <param name="device">The open device.</param>
    /// <returns>0 or a negative errno.</returns>
    public static int Clear(FileDescriptor device) => Posix.Ioctl(device.Value, NbdNetlinkConstants.ClearSockets, 0);

    /// <summary>Sets block size and size.</summary>
    /// <param name="device">The open device.</param>
    /// <param name="geometry">Both.</param>
    /// <returns>0 or a negative errno.</returns>
    public static int Resize(FileDescriptor device, KernelNbdGeometry geometry)
    {
        int result = Posix.Ioctl(device.Value, NbdNetlinkConstants.SetBlockSize, geometry.BlockSize);
        return result < 0 ? result : Posix.Ioctl(device.Value, NbdNetlinkConstants.SetSizeBlocks, geometry.Size / geometry.BlockSize);
    }

    private static string? RunHere(int index, KernelNbdGeometry geometry, int timeoutSeconds, IReadOnlyList<int> sockets)
    {
        string path = KernelNbdDevice.PathOf(index);
        int result = Posix.BlockSignals();
        if (result < 0)
        {
            return $"cannot block signals: {Errno.Describe(result)}";
        }

        int fd = Posix.Open(path, OpenFlags.ReadWrite);
        if (fd < 0)
        {
            return Explain(path, "open", fd);
        }

        using FileDescriptor device = FileDescriptor.Own(fd);

        // The settings of a device that is in use would change under its users.
        if (KernelNbdDevice.Owner(index) != 0 || KernelNbdDevice.Size(index) != 0)
        {
            return Explain(path, "attach", -Errno.EBUSY);
        }

        // The first socket claims the device for this thread, in one step: of two that chose it, one is refused here. Before that,
        // nothing of the device may be changed, nor cleared: it may be the other's.
        for (int i = 0; i < sockets.Count; i++)
        {
            result = Posix.Ioctl(device.Value, NbdNetlinkConstants.SetSocket, sockets[i]);
            if (result < 0 && i == 0)
            {
                return Explain(path, "hand a connection over", KernelNbdDevice.Owner(index) != 0 ? -Errno.EBUSY : result);
            }

            if (result < 0)
            {
                Clear(device);
                return Explain(path, "hand a connection over", result);
            }
        }

        result = Resize(device, geometry);
        if (result < 0)
        {
            Clear(device);
            return Explain(path, "set the size", result);
        }

        result = Posix.Ioctl(device.Value, NbdNetlinkConstants.SetFlags, (long)geometry.Flags);
        if (result >= 0 && timeoutSeconds > 0)
        {
            result = Posix.Ioctl(device.Value, NbdNetlinkConstants.SetTimeout, timeoutSeconds);
        }

        if (result < 0)
        {
            Clear(device);
            return Explain(path, "set flags and timeout", result);
        }

        result = Posix.Ioctl(device.Value, NbdNetlinkConstants.DoIt, 0);
        Clear(device);
        return result < 0 ? Explain(path, "serve", result) : null;
    }

    private static string Explain(string path, string action, int error) => -error switch
    {
        Errno.EBUSY => $"{path} is in use already: choose another with --device, or leave it out for a free one",
        Errno.EPERM or Errno.EACCES => $"{path}: attaching needs root (CAP_SYS_ADMIN in the initial user namespace)",
        Errno.ENOENT or Errno.ENXIO or Errno.ENODEV => $"{path} does not exist; load the driver with 'modprobe nbd'",
        Errno.ETIMEDOUT => $"{path}: a request was not answered in time, and all requests fail now",
        _ => $"{path}: cannot {action}: {Errno.Describe(error)}",
    };
}
