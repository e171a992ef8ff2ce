using NbdFuse.Native;
using NbdFuse.Native.Block;

namespace NbdFuse.Attach.KernelNbd;

/// <summary>The way down of a device of the kernel's nbd driver.</summary>
/// <remarks>THREADING: blocks; the kernel serves the device, so any process may run it.</remarks>
public sealed class KernelNbdTakeDown
{
    // How long somebody may have a device open and still count as passing by, as udev does.
    private const int PassingMs = 1000;

    // The kernel lets the device go when its last user has closed it.
    private const int ReleaseMs = 10_000;

    // What a disconnection may take when nobody can free the kernel from a server that takes nothing.
    private const int DisconnectMs = 10_000;

    // How long a server may take to hang up after the goodbye; only the old interface waits for that.
    private const int GoodbyeMs = 3_000;

    private readonly int _index;
    private readonly string _path;
    private readonly string _identifier;
    private readonly int _owner;

    /// <summary>Prepares.</summary>
    /// <param name="index">Number of the device.</param>
    /// <param name="identifier">Name that it was made with.</param>
    /// <param name="owner">Thread that made it.</param>
    public KernelNbdTakeDown(int index, string identifier, int owner)
    {
        _index = index;
        _path = KernelNbdDevice.PathOf(index);
        _identifier = identifier;
        _owner = owner;
    }

    /// <summary>The device was made by ioctl.</summary>
    public bool IsIoctl { get; init; }

    /// <summary>Cuts the connections, to free the kernel from a server that takes nothing; null when nobody can.</summary>
    public Action? Abort { get; init; }

    /// <summary>The device was ours, and has been cut off already: what is left of it is ours to clear away.</summary>
    public bool WasCutOff { get; init; }

    /// <summary>Paths of its partitions, whose nodes go with it even if the kernel has forgotten them.</summary>
    public IReadOnlyList<string> Partitions { get; init; } = [];

    /// <summary>Called when all is flushed, right before the kernel takes leave of the server; null for nothing.</summary>
    public Action? BeforeDisconnect { get; init; }

    /// <summary>Flushes, removes the partitions, says goodbye to the server, and waits until the kernel has let the device go.</summary>
    /// <exception cref="DeviceBusyException">It is in use, and nothing was done.</exception>
    /// <exception cref="AttachException">It could not.</exception>
    public void Run()
    {
        if (!IsOurs)
        {
            if (WasCutOff)
            {
                ForgetPartitions();
            }

            return;
        }

        IReadOnlyList<DeviceHolder> holders = FindLasting();
        if (holders.Count > 0)
        {
            throw new DeviceBusyException(_path, holders);
        }

        // Exclusive: nobody can mount it any more. Held until the kernel has disconnected.
        int fd = Posix.Open(_path, OpenFlags.ReadOnly | OpenFlags.Exclusive);
        if (fd == -Errno.EBUSY)
        {
            throw new DeviceBusyException(_path, FindHolders());
        }

        using (FileDescriptor device = LoopDevice.Own(fd, _path))
        {
            int result = Posix.Fsync(device.Value);
            if (result < 0)
            {
                throw new AttachException(
                    $"{_path}: the last flush failed: {Errno.Describe(result)}; 'nbdfuse detach --force {_path}' gives up what was not flushed");
            }

            // The next one that gets this number must not find our pages.
            Posix.Ioctl(device.Value, BlockConstants.FlushBuffers, 0);
            if (!PartitionNodes.TryRemove(_path, device))
            {
                throw new DeviceBusyException(_path, FindHolders());
            }

            BeforeDisconnect?.Invoke();
            Disconnect(device);
        }

        if (IsIoctl)
        {
            EndIoctl();
        }

        if (!WaitForRelease(ReleaseMs))
        {
            throw new DeviceBusyException(_path, FindHolders());
        }

        DeviceNode.RemoveStale(_path);
    }

    /// <summary>Fails all requests and disconnects, whoever uses the device; always ends.</summary>
    /// <returns>Who still uses it: the kernel lets it go when they do.</returns>
    /// <exception cref="AttachException">It could not.</exception>
    public IReadOnlyList<DeviceHolder> RunByForce()
    {
        if (!IsOurs && !WasCutOff)
        {
            return [];
        }

        CutOff();

        // Looked for only now: before, processes that wait for the server might have held the look-up up.
        IReadOnlyList<DeviceHolder> holders = FindHolders();
        if (!WaitForRelease(holders.Count > 0 ? PassingMs : ReleaseMs))
        {
            return holders.Count > 0 ? holders : FindHolders();
        }

        ForgetPartitions();
        return [];
    }

    /// <summary>Fails all requests, in flight and to come, and disconnects.</summary>
    /// <exception cref="AttachException">It could not.</exception>
    public void CutOff()
    {
        if (!IsOurs)
        {
            return;
        }

        Abort?.Invoke();

        // Without somebody to cut the connection it may wait for ever, and not be killed: then a thread stays behind.
        IOException? failure = null;
        var thread = new Thread(
            () =>
            {
                try
                {
                    Disconnect(null);
                }
                catch (IOException e)
                {
                    failure = e;
                }
            })
        { IsBackground = true, Name = "nbd disconnect" };
        thread.Start();
        if (!thread.Join(DisconnectMs))
        {
            throw new AttachException($"{_path}: the kernel waits until the server takes what was sent; end the server, or cut its connection, and try again");
        }

        if (failure is not null)
        {
            throw failure;
        }
    }

    // By ioctl a thread of ours has the device open, which is what it lives by.
    private IReadOnlyList<DeviceHolder> FindHolders() => DeviceHolders.Find(_path, IsIoctl ? _owner : 0);

    private bool IsOurs => KernelNbdDevice.IsOurs(_index, _identifier, _owner);

    private void Disconnect(FileDescriptor? device)
    {
        if (!IsIoctl)
        {
            using KernelNbdControl control = KernelNbdControl.Open()
                ?? throw new AttachException($"{_path}: the kernel's nbd driver has lost its netlink interface");
            control.Disconnect(_index);
            return;
        }

        if (device is null)
        {
            using FileDescriptor own = LoopDevice.Own(Posix.Open(_path, OpenFlags.ReadOnly | OpenFlags.NonBlocking), _path);
            KernelNbdIoctl.Disconnect(own);
            KernelNbdIoctl.Clear(own);
            return;
        }

        int result = KernelNbdIoctl.Disconnect(device);
        if (result < 0)
        {
            throw new AttachException($"{_path}: the kernel does not disconnect it: {Errno.Describe(result)}");
        }
    }

    // The server hangs up after the goodbye, and that ends the device. One that does not is left; while somebody has the device
    // open, its end does not show.
    private void EndIoctl()
    {
        if (WaitForRelease(GoodbyeMs))
        {
            return;
        }

        int fd = Posix.Open(_path, OpenFlags.ReadOnly | OpenFlags.NonBlocking);
        if (fd >= 0)
        {
            using FileDescriptor device = FileDescriptor.Own(fd);
            KernelNbdIoctl.Clear(device);
        }
    }

    private bool WaitForRelease(int milliseconds)
    {
        long end = MonotonicClock.Milliseconds + milliseconds;
        while (IsOurs)
        {
            if (MonotonicClock.Milliseconds > end)
            {
                return false;
            }

            Thread.Sleep(10);
        }

        return true;
    }

    // The kernel keeps the partitions of a device that it has disconnected, and the next user of the number would get them.
    private void ForgetPartitions()
    {
        if (!KernelNbdDevice.IsFree(_index))
        {
            // It has a new user by now.
            return;
        }

        IReadOnlyList<int> numbers = PartitionNodes.Numbers(_path);
        if (numbers.Count > 0)
        {
            int fd = Posix.Open(_path, OpenFlags.ReadOnly | OpenFlags.NonBlocking);
            if (fd >= 0)
            {
                // While it is open nobody else gets it from the driver; before that somebody may have.
                using FileDescriptor device = FileDescriptor.Own(fd);
                if (!KernelNbdDevice.IsFree(_index))
                {
                    return;
                }

                PartitionNodes.TryRemove(_path, device);
            }
        }

        foreach (string node in numbers.Select(number => PartitionNodes.NodeOf(_path, number)).Union(Partitions))
        {
            DeviceNode.RemoveStale(node);
        }

        DeviceNode.RemoveStale(_path);
    }

    private IReadOnlyList<DeviceHolder> FindLasting()
    {
        long end = MonotonicClock.Milliseconds + PassingMs;
        while (true)
        {
            IReadOnlyList<DeviceHolder> holders = FindHolders();
            if (holders.Count == 0 || holders.Any(holder => holder.Kind != DeviceHolderKind.Process) || MonotonicClock.Milliseconds > end)
            {
                return holders;
            }

            Thread.Sleep(20);
        }
    }
}
