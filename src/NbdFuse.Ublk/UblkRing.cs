using NbdFuse.Native;
using NbdFuse.Native.IoUring;
using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

/// <summary>A queue of /dev/ublkcN on an io_uring of its own.</summary>
internal sealed class UblkRing : IUblkRing
{
    private const ushort Queue = 0;

    // Completions are posted when the loop enters the kernel, all of a turn at once, and the flag in shared memory tells when
    // that is worth a call. Older kernels interrupt the thread instead, which is only slower.
    private static readonly IoUringSetupFlags[] Preferred =
    [
        IoUringSetupFlags.SingleIssuer | IoUringSetupFlags.DeferTaskRun | IoUringSetupFlags.TaskRunFlag | IoUringSetupFlags.SubmitAll,
        IoUringSetupFlags.SingleIssuer | IoUringSetupFlags.CoopTaskRun | IoUringSetupFlags.TaskRunFlag | IoUringSetupFlags.SubmitAll,
        IoUringSetupFlags.CoopTaskRun | IoUringSetupFlags.TaskRunFlag,
    ];

    private readonly FileDescriptor _device;
    private readonly FileDescriptor _event;
    private readonly UblkDescriptorMap _descriptions;
    private readonly IoUringRing _ring;
    private readonly uint _fetch;
    private readonly uint _commit;
    private readonly int _fd;

    private UblkRing(FileDescriptor device, FileDescriptor wake, UblkDescriptorMap descriptions, IoUringRing ring, bool legacy)
    {
        _device = device;
        _fd = device.Value;
        _event = wake;
        _descriptions = descriptions;
        _ring = ring;
        _fetch = legacy ? UblkConstants.Legacy(UblkConstants.FetchRequest) : UblkConstants.FetchRequest;
        _commit = legacy ? UblkConstants.Legacy(UblkConstants.CommitAndFetchRequest) : UblkConstants.CommitAndFetchRequest;
    }

    /// <inheritdoc/>
    public int EventDescriptor => _event.Value;

    /// <inheritdoc/>
    public bool NeedsSubmit => _ring.Pending != 0 || _ring.NeedsEnter;

    /// <inheritdoc/>
    public bool HasCompletion => _ring.HasCompletion;

    /// <summary>What the ring was granted.</summary>
    internal IoUringSetupFlags Flags => _ring.Flags;

    /// <summary>Makes the ring. On the loop's thread: it alone may submit to it.</summary>
    /// <param name="device">/dev/ublkcN; belongs to the ring from here on, also when this fails.</param>
    /// <param name="depth">Depth of the device.</param>
    /// <param name="legacy">Whether operations have their old numbers.</param>
    /// <exception cref="PosixException">The kernel refused.</exception>
    internal static UblkRing Create(FileDescriptor device, int depth, bool legacy)
    {
        FileDescriptor? wake = null;
        UblkDescriptorMap? descriptions = null;
        IoUringRing? ring = null;
        try
        {
            wake = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "create an eventfd");
            ring = IoUringRing.Create(depth, IoUringSetupFlags.None, Preferred);

            // Polling the ring itself would not do: with deferred completions nobody posts what a poll would see.
            PosixException.Check(ring.RegisterEventFd(wake.Value), "register an eventfd with io_uring");

            // Last: it makes us the server in the kernel's eyes, which must not happen when the rest fails.
            descriptions = UblkDescriptorMap.Map(device.Value, Queue, depth);
            return new UblkRing(device, wake, descriptions, ring, legacy);
        }
        catch
        {
            ring?.Dispose();
            wake?.Dispose();
            descriptions?.Dispose();
            device.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public bool TryQueueFetch(int tag, nint address) => TryQueue(_fetch, tag, 0, address);

    /// <inheritdoc/>
    public bool TryQueueCommit(int tag, int result, nint address) => TryQueue(_commit, tag, result, address);

    /// <inheritdoc/>
    public int Submit() => _ring.Submit();

    /// <inheritdoc/>
    public bool TryTake(out int tag, out int result)
    {
        bool taken = _ring.TryTake(out IoUringCqe completion);
        tag = (int)completion.UserData;
        result = completion.Result;
        return taken;
    }

    /// <inheritdoc/>
    public UblkIoDescriptor Describe(int tag) => _descriptions.Read(tag);

    /// <summary>Closes all. Requests that are under way go back to the kernel.</summary>
    public void Dispose()
    {
        _ring.Dispose();
        _descriptions.Dispose();
        _event.Dispose();
        _device.Dispose();
    }

    private bool TryQueue(uint operation, int tag, int result, nint address) => _ring.TryQueueCommand(
        _fd,
        operation,
        new UblkIoCommand { QueueId = Queue, Tag = (ushort)tag, Result = result, Address = (ulong)address },
        (ulong)tag);
}
