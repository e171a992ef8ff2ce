using Microsoft.Win32.SafeHandles;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Server;

/// <summary>A file or a block device, served as it is.</summary>
public sealed class FileExport : IBackend
{
    // One write of zeroes where the file system can't make them itself.
    private const int ZeroesSize = 256 * 1024;

    // A CACHE request may name 4 GiB; it is advice, and must not keep its connection busy for long.
    private const long MaximumCache = 32L << 20;

    private static readonly byte[] Zeroes = new byte[ZeroesSize];
    private readonly SafeFileHandle _handle;
    private readonly int _fd;

    /// <summary>Opens a file or block device.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="readOnly">Open it for reading only.</param>
    /// <exception cref="IOException">It can't be opened, or has no size (a pipe, a terminal).</exception>
    /// <exception cref="UnauthorizedAccessException">Permission was denied, or it is a directory.</exception>
    public FileExport(string path, bool readOnly = false)
    {
        // FileShare.ReadWrite: no advisory lock of .NET's own on a file that other programs share.
        _handle = File.OpenHandle(
            path, FileMode.Open, readOnly ? FileAccess.Read : FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        _fd = (int)_handle.DangerousGetHandle();
        IsReadOnly = readOnly;

        // Not the file's length: that of a block device is 0.
        Size = Posix.Lseek(_fd, 0, Posix.SeekEnd);
        if (Size < 0)
        {
            _handle.Dispose();
            throw new IOException($"'{path}' has no size (errno {-Size}): only files and block devices can be served.");
        }
    }

    /// <inheritdoc/>
    public long Size { get; }

    /// <inheritdoc/>
    public bool IsReadOnly { get; }

    /// <inheritdoc/>
    public NbdError Read(long offset, Span<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            int count = Posix.PRead(_fd, buffer, offset);
            if (count <= 0)
            {
                // 0: somebody has cut the file shorter than the export that was promised.
                return count == 0 ? NbdError.Io : ToNbd(count);
            }

            buffer = buffer[count..];
            offset += count;
        }

        return NbdError.None;
    }

    /// <inheritdoc/>
    public NbdError Write(long offset, ReadOnlySpan<byte> data, bool fua)
    {
        while (!data.IsEmpty)
        {
            int count = Posix.PWrite(_fd, data, offset);
            if (count <= 0)
            {
                return count == 0 ? NbdError.NoSpc : ToNbd(count);
            }

            data = data[count..];
            offset += count;
        }

        return fua ? Flush() : NbdError.None;
    }

    /// <inheritdoc/>
    public NbdError Flush()
    {
        int result;
        do
        {
            result = Posix.Fdatasync(_fd);
        }
        while (result == -Errno.EINTR);
        return ToNbd(result);
    }

    /// <inheritdoc/>
    public NbdError Trim(long offset, long length, bool fua)
    {
        // Advice: a file system that can't punch holes has obeyed it by doing nothing.
        NbdError error = Allocate(Posix.FallocatePunchHole | Posix.FallocateKeepSize, offset, length);
        return error is not (NbdError.None or NbdError.NotSup) ? error : fua ? Flush() : NbdError.None;
    }

    /// <inheritdoc/>
    public NbdError Zero(long offset, long length, bool noHole, bool fast, bool fua)
    {
        NbdError error = NbdError.NotSup;
        if (!noHole)
        {
            error = Allocate(Posix.FallocatePunchHole | Posix.FallocateKeepSize, offset, length);
        }

        if (error == NbdError.NotSup)
        {
            error = Allocate(Posix.FallocateZeroRange | Posix.FallocateKeepSize, offset, length);
        }

        if (error == NbdError.NotSup && !fast)
        {
            error = NbdError.None;
            while (length > 0 && error == NbdError.None)
            {
                int count = (int)Math.Min(length, ZeroesSize);
                error = Write(offset, Zeroes.AsSpan(0, count), fua: false);
                offset += count;
                length -= count;
            }
        }

        return error == NbdError.None && fua ? Flush() : error;
    }

    /// <inheritdoc/>
    public NbdError Cache(long offset, long length)
    {
        Span<byte> scratch = stackalloc byte[16 * 1024];
        long end = offset + Math.Min(length, MaximumCache);
        while (offset < end)
        {
            int count = (int)Math.Min(scratch.Length, end - offset);
            NbdError error = Read(offset, scratch[..count]);
            if (error != NbdError.None)
            {
                return error;
            }

            offset += count;
        }

        return NbdError.None;
    }

    /// <inheritdoc/>
    public long NextExtent(long offset, long length, out bool isHole)
    {
        // To ask the file system costs a system call per read; the page cache reads holes as fast as data.
        isHole = false;
        return length;
    }

    /// <inheritdoc/>
    public long NextStatus(long offset, long length, out NbdAllocation status)
    {
        // A file system without holes says that all is data; one that fails to tell is taken the same way.
        status = NbdAllocation.None;
        long data = Posix.Lseek(_fd, offset, Posix.SeekData);
        if (data == offset)
        {
            long hole = Posix.Lseek(_fd, offset, Posix.SeekHole);
            return hole > offset ? Math.Min(hole - offset, length) : length;
        }

        if (data < 0 && data != -Errno.ENXIO)
        {
            return length;
        }

        // ENXIO: no data from here to the end. The file may also have been cut meanwhile: reads will tell.
        status = NbdAllocation.Hole | NbdAllocation.Zero;
        return data > offset ? Math.Min(data - offset, length) : length;
    }

    /// <inheritdoc/>
    public void Dispose() => _handle.Dispose();

    private NbdError Allocate(int mode, long offset, long length)
    {
        int result;
        do
        {
            result = Posix.Fallocate(_fd, mode, offset, length);
        }
        while (result == -Errno.EINTR);

        // EINVAL: a block device that wants whole sectors; ENOSYS, ENODEV: no such thing for this kind of file.
        return result is -Errno.EINVAL or -Errno.ENOSYS or -Errno.ENODEV ? NbdError.NotSup : ToNbd(result);
    }

    // The errors of the protocol are few (proto.md, "Error values"): others become the nearest, or EIO.
    private static NbdError ToNbd(int result) => result switch
    {
        >= 0 => NbdError.None,
        -Errno.EPERM or -Errno.EACCES or -Errno.EROFS => NbdError.Perm,
        -Errno.ENOMEM => NbdError.NoMem,
        -Errno.ENOSPC or -Errno.EDQUOT or -Errno.EFBIG => NbdError.NoSpc,
        -Errno.EOPNOTSUPP => NbdError.NotSup,
        _ => NbdError.Io,
    };
}
