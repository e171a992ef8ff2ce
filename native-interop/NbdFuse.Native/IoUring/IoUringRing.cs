using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace NbdFuse.Native.IoUring;

/// <summary>One io_uring instance: its two queues in memory that the kernel shares.</summary>
/// <remarks>
/// Memory that a request names must stay valid until its completion has been taken; nothing here pins it.
/// ORDERING: an entry is complete before the tail that shows it is stored (release); a completion is read after the tail that
/// shows it (acquire), and its slot given back afterwards (release). Without a submission thread of the kernel no full fence is
/// needed: io_uring_enter orders.
/// THREADING: one thread at a time; with <see cref="IoUringSetupFlags.SingleIssuer"/> only the thread that made the ring.
/// <see cref="Dispose"/> may be called by another thread once that one has ended or will not use the ring again.
/// </remarks>
public sealed unsafe class IoUringRing : IDisposable
{
    private const nint SetupNumber = 425;
    private const nint EnterNumber = 426;
    private const nint RegisterNumber = 427;
    private const long RingOffset = 0;
    private const long EntriesOffset = 0x10000000;
    private const int ProtectReadWrite = 3;
    private const int Populate = 0x8000;
    private const int CommandOffset = 48;
    private const int EntryBytes = 64;

    private readonly FileDescriptor _descriptor;
    private readonly nuint _ringLength;
    private readonly nuint _entriesLength;
    private readonly int _entryStride;
    private readonly uint _entryMask;
    private readonly uint _completionMask;
    private byte* _ring;
    private byte* _entries;
    private uint* _sqHead;
    private uint* _sqTail;
    private uint* _sqFlags;
    private uint* _cqHead;
    private uint* _cqTail;
    private IoUringCqe* _completions;
    private uint _tail;

    private IoUringRing(FileDescriptor descriptor, in IoUringParams parameters)
    {
        _descriptor = descriptor;
        Flags = parameters.Flags;
        Features = parameters.Features;
        Entries = (int)parameters.SqEntries;
        CompletionEntries = (int)parameters.CqEntries;
        _entryStride = (Flags & IoUringSetupFlags.Sqe128) != 0 ? EntryBytes * 2 : EntryBytes;
        _entryMask = parameters.SqEntries - 1;
        _completionMask = parameters.CqEntries - 1;
        _entriesLength = (nuint)((long)parameters.SqEntries * _entryStride);
        _ringLength = Math.Max(
            (nuint)(parameters.SqOffsets.Array + (4L * parameters.SqEntries)),
            (nuint)(parameters.CqOffsets.Cqes + ((long)sizeof(IoUringCqe) * parameters.CqEntries)));
        _ring = Map(_ringLength, RingOffset);
        try
        {
            _entries = Map(_entriesLength, EntriesOffset);
        }
        catch
        {
            Mapping.Unmap(_ring, _ringLength);
            throw;
        }

        // SAFETY: the offsets are the kernel's, for the mapping that was just made with the length that they demand.
        _sqHead = (uint*)(_ring + parameters.SqOffsets.Head);
        _sqTail = (uint*)(_ring + parameters.SqOffsets.Tail);
        _sqFlags = (uint*)(_ring + parameters.SqOffsets.Flags);
        _cqHead = (uint*)(_ring + parameters.CqOffsets.Head);
        _cqTail = (uint*)(_ring + parameters.CqOffsets.Tail);
        _completions = (IoUringCqe*)(_ring + parameters.CqOffsets.Cqes);
        uint* array = (uint*)(_ring + parameters.SqOffsets.Array);
        for (uint i = 0; i < parameters.SqEntries; i++)
        {
            // Entries are always submitted in their own order.
            array[i] = i;
        }

        _tail = Volatile.Read(ref *_sqTail);
    }

    /// <summary>Entries of the submission queue.</summary>
    public int Entries { get; }

    /// <summary>Entries of the completion queue.</summary>
    public int CompletionEntries { get; }

    /// <summary>What was asked for and granted.</summary>
    public IoUringSetupFlags Flags { get; }

    /// <summary>What this kernel has.</summary>
    public IoUringFeatures Features { get; }

    /// <summary>The ring's descriptor; it can be polled for completions that are posted.</summary>
    public int Descriptor => _descriptor.Value;

    /// <summary>Entries that are queued and not submitted.</summary>
    public int Pending => (int)(_tail - Volatile.Read(ref *_sqHead));

    /// <summary>Whether completions wait in the kernel until io_uring_enter is called.</summary>
    public bool NeedsEnter =>
        ((IoUringSqFlags)Volatile.Read(ref *_sqFlags) & (IoUringSqFlags.TaskRun | IoUringSqFlags.CqOverflow)) != 0;

    /// <summary>Whether a completion can be taken.</summary>
    public bool HasCompletion => *_cqHead != Volatile.Read(ref *_cqTail);

    /// <summary>Bytes of a command of URING_CMD: 16, or 80 with 128-byte entries.</summary>
    public int CommandBytes => _entryStride - CommandOffset;

    /// <summary>Makes a ring with the first set of optional flags that the kernel knows.</summary>
    /// <param name="entries">Entries of the submission queue, 1 to 4096; rounded up to a power of two.</param>
    /// <param name="required">Flags without which there is no use.</param>
    /// <param name="optional">Sets of further flags, best first; without any of them is tried last.</param>
    /// <exception cref="PosixException">
    /// The kernel refused: ENOSYS or EPERM when io_uring is missing or forbidden, EINVAL when a required flag is unknown.
    /// </exception>
    public static IoUringRing Create(int entries, IoUringSetupFlags required, params ReadOnlySpan<IoUringSetupFlags> optional)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(entries, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(entries, 4096);
        int result = -Errno.EINVAL;
        for (int i = 0; i <= optional.Length && result == -Errno.EINVAL; i++)
        {
            IoUringParams parameters = default;
            parameters.Flags = required | (i < optional.Length ? optional[i] : IoUringSetupFlags.None);
            // SAFETY: the structure lives on the stack for the duration of the call.
            nint value = Libc.syscall(SetupNumber, entries, (nint)(&parameters), 0, 0, 0, 0);
            result = value >= 0 ? (int)value : -Marshal.GetLastSystemError();
            if (result >= 0)
            {
                return Make(FileDescriptor.Own(result), parameters);
            }
        }

        throw new PosixException("set up io_uring", result);
    }

    /// <summary>Queues a request that does nothing.</summary>
    /// <param name="userData">Comes back in the completion.</param>
    /// <returns>False when the queue is full.</returns>
    public bool TryQueueNop(ulong userData) => TryQueue(new IoUringSqe { Opcode = IoUringOpcode.Nop, UserData = userData });

    /// <summary>Queues a read.</summary>
    /// <param name="fd">The file; open until the completion.</param>
    /// <param name="buffer">Where the bytes go; alive until the completion.</param>
    /// <param name="start">First byte in the buffer.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="offset">Byte offset in the file; -1 for its position.</param>
    /// <param name="userData">Comes back in the completion.</param>
    /// <returns>False when the queue is full.</returns>
    public bool TryQueueRead(int fd, NativeBuffer buffer, int start, int length, long offset, ulong userData)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, buffer.Length - start);
        return TryQueue(new IoUringSqe
        {
            Opcode = IoUringOpcode.Read,
            Fd = fd,
            Offset = (ulong)offset,
            Address = (ulong)(buffer.Address + start),
            Length = (uint)length,
            UserData = userData,
        });
    }

    /// <summary>Queues a wait for events; it completes once, with the events.</summary>
    /// <param name="fd">The file.</param>
    /// <param name="events">What is waited for.</param>
    /// <param name="userData">Comes back in the completion.</param>
    /// <returns>False when the queue is full.</returns>
    public bool TryQueuePoll(int fd, PollEvents events, ulong userData) => TryQueue(new IoUringSqe
    {
        Opcode = IoUringOpcode.PollAdd,
        Fd = fd,
        OperationFlags = (ushort)events,
        UserData = userData,
    });

    /// <summary>Queues the cancellation of a request: 0, -ENOENT (ended or unknown) or -EALREADY (under way) is its result.</summary>
    /// <param name="target">User data of the request.</param>
    /// <param name="userData">Comes back in the completion of the cancellation.</param>
    /// <returns>False when the queue is full.</returns>
    public bool TryQueueCancel(ulong target, ulong userData) => TryQueue(new IoUringSqe
    {
        Opcode = IoUringOpcode.AsyncCancel,
        Fd = -1,
        Address = target,
        UserData = userData,
    });

    /// <summary>Queues a command for the driver of a file (URING_CMD).</summary>
    /// <typeparam name="T">The driver's structure, up to <see cref="CommandBytes"/> long.</typeparam>
    /// <param name="fd">The file.</param>
    /// <param name="operation">The driver's number of the operation.</param>
    /// <param name="command">Copied.</param>
    /// <param name="userData">Comes back in the completion.</param>
    /// <returns>False when the queue is full.</returns>
    public bool TryQueueCommand<T>(int fd, uint operation, in T command, ulong userData)
        where T : unmanaged
    {
        if (sizeof(T) > CommandBytes)
        {
            throw new ArgumentException($"A command has {sizeof(T)} bytes, an entry has room for {CommandBytes}.", nameof(command));
        }

        if (Pending == Entries)
        {
            return false;
        }

        IoUringSqe entry = new()
        {
            Opcode = IoUringOpcode.Command,
            Fd = fd,
            CommandOperation = operation,
            UserData = userData,
        };
        byte* place = Place(entry);
        // SAFETY: the entry has room for the command, see above; it is ours until the tail is stored.
        Unsafe.WriteUnaligned(place + CommandOffset, command);
        Publish();
        return true;
    }

    /// <summary>Submits what is queued, and posts completions that wait to be posted. Does not wait.</summary>
    /// <returns>
    /// Entries taken, or a negative errno: EAGAIN and EBUSY mean that completions must be taken first, EINTR that the call has to
    /// be repeated. What was not taken stays queued.
    /// </returns>
    public int Submit() => Enter(0, IoUringEnterFlags.GetEvents, null, 0);

    /// <summary>Submits what is queued and waits for completions.</summary>
    /// <param name="minimum">How many completions to wait for.</param>
    /// <param name="timeoutMs">Most milliseconds to wait; -1 waits without end.</param>
    /// <returns>Entries taken, or a negative errno: ETIME after the timeout, EINTR after a signal, and those of <see cref="Submit"/>.</returns>
    public int SubmitAndWait(int minimum, int timeoutMs)
    {
        if (timeoutMs < 0)
        {
            return Enter(minimum, IoUringEnterFlags.GetEvents, null, 0);
        }

        KernelTimespec time = new() { Seconds = timeoutMs / 1000, Nanoseconds = timeoutMs % 1000 * 1_000_000L };
        // SAFETY: both structures live on the stack for the duration of the call.
        IoUringGetEventsArgument argument = new() { Timeout = (ulong)(&time) };
        return Enter(minimum, IoUringEnterFlags.GetEvents | IoUringEnterFlags.ExtendedArgument, &argument, sizeof(IoUringGetEventsArgument));
    }

    /// <summary>Takes the oldest completion.</summary>
    /// <param name="completion">The completion.</param>
    /// <returns>False when there is none.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryTake(out IoUringCqe completion)
    {
        uint head = *_cqHead;
        if (head == Volatile.Read(ref *_cqTail))
        {
            completion = default;
            return false;
        }

        // SAFETY: the mask keeps the index inside the queue.
        completion = _completions[head & _completionMask];
        Volatile.Write(ref *_cqHead, head + 1);
        return true;
    }

    /// <summary>Has an eventfd signalled whenever completions arrive, those that wait to be posted included.</summary>
    /// <param name="fd">The eventfd.</param>
    /// <returns>0 or a negative errno.</returns>
    public int RegisterEventFd(int fd)
    {
        // SAFETY: the number lives on the stack for the duration of the call.
        nint value = Libc.syscall(
            RegisterNumber, _descriptor.Value, (nint)IoUringRegisterOperation.EventFd, (nint)(&fd), 1, 0, 0);
        return value >= 0 ? 0 : -Marshal.GetLastSystemError();
    }

    /// <summary>Ends the ring. What is under way is cancelled by the kernel, some time after this call.</summary>
    public void Dispose()
    {
        byte* ring = _ring;
        byte* entries = _entries;
        _ring = null;
        _entries = null;
        _sqHead = null;
        _sqTail = null;
        _sqFlags = null;
        _cqHead = null;
        _cqTail = null;
        _completions = null;
        if (ring != null)
        {
            Mapping.Unmap(ring, _ringLength);
            Mapping.Unmap(entries, _entriesLength);
            _descriptor.Dispose();
        }
    }

    private static IoUringRing Make(FileDescriptor descriptor, in IoUringParams parameters)
    {
        try
        {
            if ((parameters.Features & IoUringFeatures.SingleMap) == 0)
            {
                throw new PosixException("map io_uring", Errno.ENOSYS);
            }

            return new IoUringRing(descriptor, parameters);
        }
        catch
        {
            descriptor.Dispose();
            throw;
        }
    }

    private byte* Map(nuint length, long offset)
    {
        void* address = Libc.mmap(null, length, ProtectReadWrite, Mapping.Shared | Populate, _descriptor.Value, offset);
        return address == (void*)-1
            ? throw new PosixException($"map {length} bytes of io_uring", Marshal.GetLastSystemError())
            : (byte*)address;
    }

    private bool TryQueue(in IoUringSqe entry)
    {
        if (Pending == Entries)
        {
            return false;
        }

        Place(entry);
        Publish();
        return true;
    }

    private byte* Place(in IoUringSqe entry)
    {
        // SAFETY: the mask keeps the index inside the queue; the entry is ours until the tail is stored.
        byte* place = _entries + ((nuint)(_tail & _entryMask) * (nuint)_entryStride);
        Unsafe.InitBlock(place + EntryBytes, 0, (uint)(_entryStride - EntryBytes));
        *(IoUringSqe*)place = entry;
        return place;
    }

    private void Publish() => Volatile.Write(ref *_sqTail, ++_tail);

    private int Enter(int minimum, IoUringEnterFlags flags, void* argument, int argumentBytes)
    {
        nint value = Libc.syscall(
            EnterNumber, _descriptor.Value, Pending, minimum, (nint)(uint)flags, (nint)argument, argumentBytes);
        return value >= 0 ? (int)value : -Marshal.GetLastSystemError();
    }
}
