namespace NbdFuse.Native;

public static unsafe partial class Posix
{
    private const int DupFdCloexec = 1030;
    private const int GetFd = 1;
    private const int SetFd = 2;
    private const int GetFl = 3;
    private const int SetFl = 4;
    private const int SetPipeSz = 1031;
    private const int GetPipeSz = 1032;
    private const int FdCloexec = 1;
    private const nint CloseRangeNumber = 436;

    /// <summary>Makes a pipe, close-on-exec.</summary>
    /// <param name="reader">The reading end.</param>
    /// <param name="writer">The writing end.</param>
    /// <param name="flags">Further flags: <see cref="OpenFlags.NonBlocking"/>, <see cref="OpenFlags.Direct"/>.</param>
    public static int Pipe2(out int reader, out int writer, OpenFlags flags = OpenFlags.CloseOnExec)
    {
        int* fds = stackalloc int[2] { -1, -1 };
        int result = Result(Libc.pipe2(fds, ToNativeOpenFlags(flags | OpenFlags.CloseOnExec)));
        reader = fds[0];
        writer = fds[1];
        return result;
    }

    /// <summary>Asks for a pipe capacity. Without CAP_SYS_RESOURCE more than fs.pipe-max-size (1 MiB) is EPERM.</summary>
    /// <param name="fd">Either end.</param>
    /// <param name="bytes">Bytes; the kernel rounds up.</param>
    /// <returns>The capacity in bytes that holds from now on.</returns>
    public static int FcntlSetPipeSize(int fd, int bytes) => Result(Libc.fcntl(fd, SetPipeSz, bytes));

    /// <summary>The capacity of a pipe in bytes.</summary>
    /// <param name="fd">Either end.</param>
    public static int FcntlGetPipeSize(int fd) => Result(Libc.fcntl(fd, GetPipeSz, 0));

    /// <summary>Sets or clears O_NONBLOCK on the open file (shared by its duplicates).</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="enable">Whether operations shall not block.</param>
    public static int SetNonBlocking(int fd, bool enable)
    {
        int flags = Result(Libc.fcntl(fd, GetFl, 0));
        if (flags < 0)
        {
            return flags;
        }

        int wanted = enable ? flags | (int)OpenFlags.NonBlocking : flags & ~(int)OpenFlags.NonBlocking;
        return wanted == flags ? 0 : Result(Libc.fcntl(fd, SetFl, wanted));
    }

    /// <summary>Sets or clears FD_CLOEXEC.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="enable">Whether exec closes it.</param>
    public static int SetCloseOnExec(int fd, bool enable) => Result(Libc.fcntl(fd, SetFd, enable ? FdCloexec : 0));

    /// <summary>Whether exec closes the descriptor: 1 or 0.</summary>
    /// <param name="fd">The descriptor.</param>
    public static int GetCloseOnExec(int fd)
    {
        int flags = Result(Libc.fcntl(fd, GetFd, 0));
        return flags < 0 ? flags : flags & FdCloexec;
    }

    /// <summary>Duplicates a descriptor, close-on-exec.</summary>
    /// <param name="fd">The descriptor.</param>
    public static int Dup(int fd) => DupAbove(fd, 0);

    /// <summary>Makes a descriptor number refer to what another one does; what it was before is closed (dup3(2)).</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="number">The number; programs that are started inherit it.</param>
    public static int DupOnto(int fd, int number) => Result(Libc.dup3(fd, number, 0));

    /// <summary>Duplicates a descriptor to the lowest free number from <paramref name="minimum"/> up, close-on-exec.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="minimum">The lowest number that will do.</param>
    public static int DupAbove(int fd, int minimum) => Result(Libc.fcntl(fd, DupFdCloexec, minimum));

    /// <summary>Waits for one descriptor. EINTR is retried with the rest of the time.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="events">The events asked for.</param>
    /// <param name="timeoutMs">Milliseconds; -1 waits without end.</param>
    /// <returns>The <see cref="PollEvents"/> that hold, 0 after the timeout, or a negative errno.</returns>
    public static int Poll(int fd, PollEvents events, int timeoutMs)
    {
        PollDescriptor entry = new(fd, events);
        int result = Poll(new Span<PollDescriptor>(ref entry), timeoutMs);
        return result <= 0 ? result : (ushort)entry.Returned;
    }

    /// <summary>Waits for several descriptors. EINTR is retried with the rest of the time.</summary>
    /// <param name="entries">The descriptors; <see cref="PollDescriptor.Returned"/> is written.</param>
    /// <param name="timeoutMs">Milliseconds; -1 waits without end.</param>
    /// <returns>How many entries have events, 0 after the timeout, or a negative errno.</returns>
    public static int Poll(Span<PollDescriptor> entries, int timeoutMs)
    {
        long deadline = timeoutMs > 0 ? MonotonicClock.Milliseconds + timeoutMs : 0;
        fixed (PollDescriptor* p = entries)
        {
            int left = timeoutMs;
            while (true)
            {
                int result = Result(Libc.poll(p, (nuint)entries.Length, left));
                if (result != -Errno.EINTR)
                {
                    return result;
                }

                if (timeoutMs > 0)
                {
                    left = (int)Math.Max(0, deadline - MonotonicClock.Milliseconds);
                }
            }
        }
    }

    /// <summary>Makes an eventfd: non-blocking, close-on-exec, counter 0.</summary>
    public static int EventFdCreate() => Result(Libc.eventfd(0, 0x800 | 0x80000));

    /// <summary>Adds to an eventfd's counter, which makes it readable.</summary>
    /// <param name="fd">The eventfd.</param>
    /// <param name="value">What to add, at least 1.</param>
    public static int EventFdWrite(int fd, ulong value = 1)
    {
        int result;
        do
        {
            result = Result(Libc.write(fd, &value, sizeof(ulong)));
        }
        while (result == -Errno.EINTR);
        return result < 0 ? result : 0;
    }

    /// <summary>Takes an eventfd's counter and resets it.</summary>
    /// <param name="fd">The eventfd.</param>
    /// <returns>The counter, or a negative errno (EAGAIN when it was 0).</returns>
    public static long EventFdRead(int fd)
    {
        ulong value = 0;
        int result;
        do
        {
            result = Result(Libc.read(fd, &value, sizeof(ulong)));
        }
        while (result == -Errno.EINTR);
        return result < 0 ? result : (long)Math.Min(value, long.MaxValue);
    }

    /// <summary>Closes a range of descriptors (close_range(2), Linux 5.9), or marks them close-on-exec.</summary>
    /// <param name="first">The first one.</param>
    /// <param name="last">The last one, inclusive.</param>
    /// <param name="closeOnExecOnly">Only set FD_CLOEXEC (Linux 5.11).</param>
    public static int CloseRange(uint first, uint last, bool closeOnExecOnly = false) =>
        Result(Libc.syscall(CloseRangeNumber, (nint)first, (nint)last, closeOnExecOnly ? 4 : 0, 0, 0, 0));
}
