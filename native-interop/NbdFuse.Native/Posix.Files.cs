namespace NbdFuse.Native;

public static unsafe partial class Posix
{
    /// <summary><see cref="Lseek"/>: from the start of the file.</summary>
    public const int SeekSet = 0;

    /// <summary><see cref="Lseek"/>: from the current position.</summary>
    public const int SeekCurrent = 1;

    /// <summary><see cref="Lseek"/>: from the end of the file.</summary>
    public const int SeekEnd = 2;

    /// <summary><see cref="Lseek"/>: the next data (SEEK_DATA).</summary>
    public const int SeekData = 3;

    /// <summary><see cref="Lseek"/>: the next hole (SEEK_HOLE).</summary>
    public const int SeekHole = 4;

    /// <summary><see cref="Fallocate"/>: keep the size (FALLOC_FL_KEEP_SIZE).</summary>
    public const int FallocateKeepSize = 1;

    /// <summary><see cref="Fallocate"/>: deallocate, reads as zeroes (FALLOC_FL_PUNCH_HOLE; needs KEEP_SIZE).</summary>
    public const int FallocatePunchHole = 2;

    /// <summary><see cref="Fallocate"/>: zero a range (FALLOC_FL_ZERO_RANGE).</summary>
    public const int FallocateZeroRange = 0x10;

    // The four flags that arm64 numbers differently (arch/arm64/include/uapi/asm/fcntl.h).
    private const int Arm64Directory = 0x4000;
    private const int Arm64NoFollow = 0x8000;
    private const int Arm64Direct = 0x10000;
    private const int Arm64LargeFile = 0x20000;
    private const OpenFlags PerArchitecture = OpenFlags.Direct | OpenFlags.LargeFile | OpenFlags.Directory | OpenFlags.NoFollow;

    /// <summary>Opens a file. O_CLOEXEC is always added; undo it with <see cref="SetCloseOnExec"/>.</summary>
    /// <param name="path">The path.</param>
    /// <param name="flags">Access and creation flags.</param>
    /// <param name="mode">Permission bits of a file that is created.</param>
    /// <returns>The descriptor.</returns>
    public static int Open(string path, OpenFlags flags, int mode = 0)
    {
        fixed (byte* name = CString(path))
        {
            int fd;
            do
            {
                fd = Result(Libc.open(name, ToNativeOpenFlags(flags | OpenFlags.CloseOnExec), mode));
            }
            while (fd == -Errno.EINTR);
            return fd;
        }
    }

    /// <summary>This machine's numbers for the flags.</summary>
    /// <param name="flags">Flags in the notation of <see cref="OpenFlags"/>.</param>
    public static int ToNativeOpenFlags(OpenFlags flags)
    {
        if (!IsArm64)
        {
            return (int)flags;
        }

        int native = (int)(flags & ~PerArchitecture);
        native |= (flags & OpenFlags.Direct) != 0 ? Arm64Direct : 0;
        native |= (flags & OpenFlags.LargeFile) != 0 ? Arm64LargeFile : 0;
        native |= (flags & OpenFlags.Directory) == OpenFlags.Directory ? Arm64Directory : 0;
        native |= (flags & OpenFlags.NoFollow) != 0 ? Arm64NoFollow : 0;
        return native;
    }

    /// <summary>The flags in this project's notation, from this machine's numbers (as FUSE requests carry them).</summary>
    /// <param name="native">The kernel's numbers.</param>
    public static OpenFlags FromNativeOpenFlags(int native)
    {
        if (!IsArm64)
        {
            return (OpenFlags)native;
        }

        OpenFlags flags = (OpenFlags)native & ~PerArchitecture;
        flags |= (native & Arm64Direct) != 0 ? OpenFlags.Direct : 0;
        flags |= (native & Arm64LargeFile) != 0 ? OpenFlags.LargeFile : 0;
        flags |= (native & Arm64Directory) != 0 ? OpenFlags.Directory : 0;
        flags |= (native & Arm64NoFollow) != 0 ? OpenFlags.NoFollow : 0;
        return flags;
    }

    /// <summary>Closes a descriptor. EINTR is success: Linux has released the number by then, a retry would hit another file.</summary>
    /// <param name="fd">The descriptor.</param>
    public static int Close(int fd)
    {
        int result = Result(Libc.close(fd));
        return result == -Errno.EINTR ? 0 : result;
    }

    /// <summary>read(2); retries EINTR.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="buffer">Where the bytes go.</param>
    /// <returns>Bytes read; 0 is the end of the file.</returns>
    public static int Read(int fd, Span<byte> buffer)
    {
        fixed (byte* p = buffer)
        {
            int result;
            do
            {
                result = Result(Libc.read(fd, p, (nuint)buffer.Length));
            }
            while (result == -Errno.EINTR);
            return result;
        }
    }

    /// <summary>write(2); retries EINTR. May write less than asked.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="buffer">The bytes.</param>
    /// <returns>Bytes written.</returns>
    public static int Write(int fd, ReadOnlySpan<byte> buffer)
    {
        fixed (byte* p = buffer)
        {
            int result;
            do
            {
                result = Result(Libc.write(fd, p, (nuint)buffer.Length));
            }
            while (result == -Errno.EINTR);
            return result;
        }
    }

    /// <summary>readv(2) into all the list's vectors; retries EINTR. Does not advance the list.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="vectors">Writable native memory.</param>
    /// <returns>Bytes read.</returns>
    public static int ReadV(int fd, IoVectorList vectors)
    {
        int result;
        do
        {
            result = Result(Libc.readv(fd, vectors.Head, vectors.Count));
        }
        while (result == -Errno.EINTR);
        return result;
    }

    /// <summary>writev(2) of all the list's vectors; retries EINTR. Does not advance the list.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="vectors">The bytes.</param>
    /// <returns>Bytes written.</returns>
    public static int WriteV(int fd, IoVectorList vectors)
    {
        int result;
        do
        {
            result = Result(Libc.writev(fd, vectors.Head, vectors.Count));
        }
        while (result == -Errno.EINTR);
        return result;
    }

    /// <summary>pread(2); retries EINTR.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="offset">Byte offset in the file.</param>
    /// <returns>Bytes read; 0 is the end of the file.</returns>
    public static int PRead(int fd, Span<byte> buffer, long offset)
    {
        fixed (byte* p = buffer)
        {
            int result;
            do
            {
                result = Result(Libc.pread(fd, p, (nuint)buffer.Length, offset));
            }
            while (result == -Errno.EINTR);
            return result;
        }
    }

    /// <summary>pwrite(2); retries EINTR.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="buffer">The bytes.</param>
    /// <param name="offset">Byte offset in the file.</param>
    /// <returns>Bytes written.</returns>
    public static int PWrite(int fd, ReadOnlySpan<byte> buffer, long offset)
    {
        fixed (byte* p = buffer)
        {
            int result;
            do
            {
                result = Result(Libc.pwrite(fd, p, (nuint)buffer.Length, offset));
            }
            while (result == -Errno.EINTR);
            return result;
        }
    }

    /// <summary>fsync(2). EINTR is reported: whether the flush happened is then unknown, and the caller must decide.</summary>
    /// <param name="fd">The descriptor.</param>
    public static int Fsync(int fd) => Result(Libc.fsync(fd));

    /// <summary>fdatasync(2). EINTR is reported, as by <see cref="Fsync"/>.</summary>
    /// <param name="fd">The descriptor.</param>
    public static int Fdatasync(int fd) => Result(Libc.fdatasync(fd));

    /// <summary>ftruncate(2); retries EINTR.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="length">New size in bytes.</param>
    public static int FTruncate(int fd, long length)
    {
        int result;
        do
        {
            result = Result(Libc.ftruncate(fd, length));
        }
        while (result == -Errno.EINTR);
        return result;
    }

    /// <summary>fallocate(2). EINTR is reported: a FUSE server may answer it on purpose.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="mode">A combination of the Fallocate constants.</param>
    /// <param name="offset">Byte offset.</param>
    /// <param name="length">Bytes, more than 0.</param>
    public static int Fallocate(int fd, int mode, long offset, long length) =>
        Result(Libc.fallocate(fd, mode, offset, length));

    /// <summary>lseek(2).</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="offset">Byte offset, relative to <paramref name="whence"/>.</param>
    /// <param name="whence">One of the Seek constants.</param>
    /// <returns>The new position, or a negative errno.</returns>
    public static long Lseek(int fd, long offset, int whence)
    {
        long result = Libc.lseek(fd, offset, whence);
        return result >= 0 ? result : -System.Runtime.InteropServices.Marshal.GetLastSystemError();
    }

    /// <summary>Moves bytes between a pipe and another descriptor (splice(2)); retries EINTR.</summary>
    /// <param name="fdIn">Source; it or <paramref name="fdOut"/> is a pipe.</param>
    /// <param name="fdOut">Destination.</param>
    /// <param name="length">At most this many bytes.</param>
    /// <param name="flags">Flags.</param>
    /// <returns>Bytes moved; 0 is the end of the input. EAGAIN means either side: a full pipe looks like an empty socket.</returns>
    public static int Splice(int fdIn, int fdOut, int length, SpliceFlags flags)
    {
        int result;
        do
        {
            result = Result(Libc.splice(fdIn, null, fdOut, null, (nuint)length, (uint)flags));
        }
        while (result == -Errno.EINTR);
        return result;
    }

    /// <summary>ioctl(2) with an integer argument.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="request">Request number.</param>
    /// <param name="argument">The argument.</param>
    public static int Ioctl(int fd, uint request, long argument) => Result(Libc.ioctl(fd, request, (nint)argument));

    /// <summary>ioctl(2) with a pointer to a structure.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="request">Request number.</param>
    /// <param name="argument">At least as many bytes as the request reads or writes.</param>
    public static int Ioctl(int fd, uint request, Span<byte> argument)
    {
        fixed (byte* p = argument)
        {
            return Result(Libc.ioctl(fd, request, (nint)p));
        }
    }

    /// <summary>ioctl(2) with a pointer to a structure.</summary>
    /// <typeparam name="T">The kernel's structure.</typeparam>
    /// <param name="fd">The descriptor.</param>
    /// <param name="request">Request number.</param>
    /// <param name="argument">The structure, read and written in place.</param>
    public static int Ioctl<T>(int fd, uint request, ref T argument)
        where T : unmanaged
    {
        fixed (T* p = &argument)
        {
            return Result(Libc.ioctl(fd, request, (nint)p));
        }
    }
}
