using NbdFuse.Native.IoUring;

namespace NbdFuse.Native.Ublk;

/// <summary>/dev/ublk-control and the small ring by which commands reach it. One command at a time.</summary>
/// <remarks>
/// Commands block: the kernel runs them in a worker thread, and the caller waits here.
/// THREADING: any thread, one after another: the ring is not bound to one.
/// </remarks>
public sealed unsafe class UblkControlChannel : IDisposable
{
    private const int RingEntries = 4;
    private const int PollMs = 100;
    private const ulong CommandToken = 1;
    private const ulong CancelToken = 2;

    private readonly Lock _lock = new();
    private readonly FileDescriptor _device;
    private readonly IoUringRing _ring;

    private UblkControlChannel(FileDescriptor device, IoUringRing ring)
    {
        _device = device;
        _ring = ring;
    }

    /// <summary>Makes a channel.</summary>
    /// <param name="device">/dev/ublk-control, open for reading and writing; belongs to the channel from here on.</param>
    /// <exception cref="PosixException">There is no io_uring with 128-byte entries.</exception>
    public static UblkControlChannel Create(FileDescriptor device)
    {
        try
        {
            return new UblkControlChannel(device, IoUringRing.Create(RingEntries, IoUringSetupFlags.Sqe128));
        }
        catch
        {
            device.Dispose();
            throw;
        }
    }

    /// <summary>Executes a command and waits for its end.</summary>
    /// <param name="operation">An operation of <see cref="UblkConstants"/>, encoded or legacy.</param>
    /// <param name="command">Device, queue and data; address and length are filled in.</param>
    /// <param name="buffer">Memory of the command, read and written by the kernel; may be empty.</param>
    /// <param name="cancellation">Asks the kernel to give the command up; it then ends with EINTR or ECANCELED, or as it would have.</param>
    /// <returns>0 or more, or a negative errno.</returns>
    public int Execute(uint operation, UblkControlCommand command, Span<byte> buffer, CancellationToken cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(buffer.Length, ushort.MaxValue);
        lock (_lock)
        {
            fixed (byte* memory = buffer)
            {
                // SAFETY: the memory is pinned until the completion has been taken: nothing below leaves before it.
                command.Address = (ulong)memory;
                command.Length = (ushort)buffer.Length;
                if (!_ring.TryQueueCommand(_device.Value, operation, command, CommandToken))
                {
                    return -Errno.EBUSY;
                }

                return Wait(cancellation);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _ring.Dispose();
        _device.Dispose();
    }

    private int Wait(CancellationToken cancellation)
    {
        long nextCancelMs = 0;
        while (true)
        {
            // While it can be cancelled we look up now and then; the wait itself has no other end than the completion.
            int entered = _ring.SubmitAndWait(1, cancellation.CanBeCanceled ? PollMs : -1);
            while (_ring.TryTake(out IoUringCqe completion))
            {
                // That of a cancellation says little: one that came too early is asked for again, one that was heard may take a while.
                if (completion.UserData == CommandToken)
                {
                    return completion.Result;
                }
            }

            if (entered < 0 && entered is not (-Errno.ETIME or -Errno.EINTR or -Errno.EAGAIN or -Errno.EBUSY))
            {
                // The kernel may still write to the memory: there is no way out of here but the process's end.
                Environment.FailFast($"io_uring refused to wait for a ublk command: {Errno.Describe(entered)}");
            }

            if (cancellation.IsCancellationRequested && MonotonicClock.Milliseconds >= nextCancelMs)
            {
                nextCancelMs = MonotonicClock.Milliseconds + PollMs;
                _ring.TryQueueCancel(CommandToken, CancelToken);
            }
        }
    }
}
