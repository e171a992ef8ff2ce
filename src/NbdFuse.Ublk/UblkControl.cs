using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

/// <summary>The commands of /dev/ublk-control. All of them block; all return 0 or a negative errno.</summary>
/// <remarks>THREADING: any thread, one command at a time.</remarks>
internal sealed class UblkControl : IDisposable
{
    /// <summary>Name of the control node.</summary>
    internal const string NodeName = "ublk-control";

    private const uint AnyDevice = uint.MaxValue;
    private const ushort NoQueue = ushort.MaxValue;
    private const int DeleteWaitMs = 3000;
    private const int DeletePollMs = 10;

    private readonly UblkExecute _execute;
    private readonly IDisposable? _owned;

    /// <summary>Makes the commands over a channel, and finds out which numbers the kernel knows them by.</summary>
    /// <param name="execute">Executes a command.</param>
    /// <param name="owned">Disposed with this object.</param>
    internal UblkControl(UblkExecute execute, IDisposable? owned = null)
    {
        _execute = execute;
        _owned = owned;
        Span<byte> features = stackalloc byte[sizeof(ulong)];
        features.Clear();
        int result = execute(UblkConstants.GetFeatures, Command(AnyDevice, 0), features, CancellationToken.None);
        if (result >= 0)
        {
            Features = (UblkFeatures)MemoryMarshal.Read<ulong>(features);
        }
        else
        {
            // Kernels before 6.5 don't know the question, and those before 6.4 no encoded number at all.
            UsesLegacy = true;
        }
    }

    /// <summary>What the driver can do; none when it is too old to say.</summary>
    internal UblkFeatures Features { get; }

    /// <summary>Whether operations go by the numbers of kernels before 6.4, here and on the queue.</summary>
    internal bool UsesLegacy { get; private set; }

    /// <summary>Opens the control node.</summary>
    /// <param name="directory">Where device nodes are.</param>
    /// <exception cref="UblkException">It cannot be used; the message says what to do.</exception>
    internal static UblkControl Open(string directory)
    {
        string path = Path.Combine(directory, NodeName);
        int fd = Posix.Open(path, OpenFlags.ReadWrite);
        if (fd < 0)
        {
            throw UblkErrors.Control(path, -fd);
        }

        try
        {
            var channel = UblkControlChannel.Create(FileDescriptor.Own(fd));
            return new UblkControl(channel.Execute, channel);
        }
        catch (PosixException e)
        {
            throw UblkErrors.IoUring(e.Errno);
        }
    }

    /// <summary>ADD_DEV.</summary>
    /// <param name="info">What is wanted; what was granted.</param>
    internal int Add(ref UblkDeviceInfo info)
    {
        UblkDeviceInfo granted = info;
        int result = Execute(UblkConstants.AddDevice, info.DeviceId, 0, Bytes(ref granted));
        if (result == -Errno.EOPNOTSUPP && UsesLegacy)
        {
            // No answer to the question, and the old numbers are compiled out: the encoded ones it must be.
            UsesLegacy = false;
            granted = info;
            result = Execute(UblkConstants.AddDevice, info.DeviceId, 0, Bytes(ref granted));
        }

        if (result >= 0)
        {
            info = granted;
            UsesLegacy &= (granted.Flags & UblkFeatures.IoctlEncoding) == 0;
        }

        return result;
    }

    /// <summary>SET_PARAMS.</summary>
    /// <param name="id">Number of the device.</param>
    /// <param name="parameters">The parameters.</param>
    internal int SetParams(uint id, UblkParams parameters) => Execute(UblkConstants.SetParams, id, 0, Bytes(ref parameters));

    /// <summary>GET_PARAMS.</summary>
    /// <param name="id">Number of the device.</param>
    /// <param name="parameters">The parameters.</param>
    internal int GetParams(uint id, out UblkParams parameters)
    {
        parameters = new UblkParams { Length = (uint)Unsafe.SizeOf<UblkParams>() };
        return Execute(UblkConstants.GetParams, id, 0, Bytes(ref parameters));
    }

    /// <summary>GET_DEV_INFO.</summary>
    /// <param name="id">Number of the device.</param>
    /// <param name="info">What it is.</param>
    internal int GetInfo(uint id, out UblkDeviceInfo info)
    {
        info = default;
        int result = Execute(UblkConstants.GetDeviceInfo, id, 0, Bytes(ref info));
        if (result == -Errno.EOPNOTSUPP && UsesLegacy)
        {
            UsesLegacy = false;
            result = Execute(UblkConstants.GetDeviceInfo, id, 0, Bytes(ref info));
        }

        return result;
    }

    /// <summary>START_DEV: ends when every tag has been fetched and the disk is there.</summary>
    /// <param name="id">Number of the device.</param>
    /// <param name="pid">Our process.</param>
    /// <param name="cancellation">Gives up waiting for the fetches.</param>
    internal int Start(uint id, int pid, CancellationToken cancellation) =>
        Retry(UblkConstants.StartDevice, id, (ulong)pid, cancellation);

    /// <summary>STOP_DEV: ends when what was under way has been answered.</summary>
    /// <param name="id">Number of the device.</param>
    internal int Stop(uint id) => Retry(UblkConstants.StopDevice, id, 0, CancellationToken.None);

    /// <summary>
    /// DEL_DEV. A device that is gone is a success, and so is one that somebody has open: it is gone for everybody else then, and
    /// the kernel keeps its number until the last one closes it.
    /// </summary>
    /// <param name="id">Number of the device, whose character device we have closed.</param>
    internal int Delete(uint id)
    {
        int result = UsesLegacy ? -Errno.EOPNOTSUPP : Execute(UblkConstants.DeleteDeviceAsync, id, 0, []);
        if (result is -Errno.EOPNOTSUPP or -Errno.EINVAL)
        {
            // Older kernels wait for the last one to close it, which may be never: let them wait for a moment only.
            using var patience = new CancellationTokenSource(DeleteWaitMs);
            result = Execute(UblkConstants.DeleteDevice, id, 0, [], patience.Token);
            return result is -Errno.ENODEV or -Errno.EINTR or -Errno.ECANCELED ? 0 : result;
        }

        // As a rule nobody has, and then the number shall be free when this ends.
        long deadline = MonotonicClock.Milliseconds + DeleteWaitMs;
        while (result >= 0 && GetInfo(id, out _) >= 0 && MonotonicClock.Milliseconds < deadline)
        {
            Thread.Sleep(DeletePollMs);
        }

        return result == -Errno.ENODEV ? 0 : result;
    }

    /// <summary>START_USER_RECOVERY: EBUSY until the old server's descriptors are closed.</summary>
    /// <param name="id">Number of the device.</param>
    internal int StartRecovery(uint id) => Execute(UblkConstants.StartUserRecovery, id, 0, []);

    /// <summary>END_USER_RECOVERY: ends when every tag has been fetched; requests flow from then on.</summary>
    /// <param name="id">Number of the device.</param>
    /// <param name="pid">Our process.</param>
    /// <param name="cancellation">Gives up waiting for the fetches.</param>
    internal int EndRecovery(uint id, int pid, CancellationToken cancellation) =>
        Retry(UblkConstants.EndUserRecovery, id, (ulong)pid, cancellation);

    /// <summary>UPDATE_SIZE, where the kernel has it.</summary>
    /// <param name="id">Number of the device.</param>
    /// <param name="sectors">The new size in sectors of 512 bytes.</param>
    /// <returns>0 or a negative errno; EOPNOTSUPP from a kernel without it.</returns>
    internal int UpdateSize(uint id, ulong sectors) =>
        (Features & UblkFeatures.UpdateSize) == 0 ? -Errno.EOPNOTSUPP : Execute(UblkConstants.UpdateSize, id, sectors, []);

    /// <inheritdoc/>
    public void Dispose() => _owned?.Dispose();

    private static UblkControlCommand Command(uint id, ulong data) => new() { DeviceId = id, QueueId = NoQueue, Data = data };

    private static Span<byte> Bytes<T>(ref T value)
        where T : unmanaged => MemoryMarshal.AsBytes(new Span<T>(ref value));

    private int Execute(uint operation, uint id, ulong data, Span<byte> buffer, CancellationToken cancellation = default) =>
        _execute(UsesLegacy ? UblkConstants.Legacy(operation) : operation, Command(id, data), buffer, cancellation);

    // The kernel waits interruptibly, and what interrupts it need not be meant for us.
    private int Retry(uint operation, uint id, ulong data, CancellationToken cancellation)
    {
        int result;
        do
        {
            result = Execute(operation, id, data, [], cancellation);
        }
        while (result is -Errno.EINTR or -Errno.EAGAIN && !cancellation.IsCancellationRequested);
        return result;
    }
}
