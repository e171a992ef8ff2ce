using System.Text;

namespace NbdFuse.Native;

public static unsafe partial class Posix
{
    private const int AtFdCwd = -100;
    private const int AtSymlinkNoFollow = 0x100;
    private const int AtEmptyPath = 0x1000;
    private const uint StatxBasicStats = 0x7FF;

    // AT_STATX_FORCE_SYNC (linux/fcntl.h).
    private const int AtStatxForceSync = 0x2000;

    /// <summary>The status of an open file.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="status">What the kernel says; undefined on failure.</param>
    public static int Fstat(int fd, out FileStatus status) => Statx(fd, string.Empty, AtEmptyPath, out status);

    /// <summary>The status of a path; follows symbolic links.</summary>
    /// <param name="path">The path.</param>
    /// <param name="status">What the kernel says; undefined on failure.</param>
    public static int Stat(string path, out FileStatus status) => Statx(AtFdCwd, path, 0, out status);

    /// <summary>The status of a path, asked of the file system itself and not of the kernel's cache; follows symbolic links.</summary>
    /// <param name="path">The path.</param>
    /// <param name="status">What the file system says; undefined on failure.</param>
    public static int StatUncached(string path, out FileStatus status) => Statx(AtFdCwd, path, AtStatxForceSync, out status);

    /// <summary>The status of a path, of the link itself when it is a symbolic link.</summary>
    /// <param name="path">The path.</param>
    /// <param name="status">What the kernel says; undefined on failure.</param>
    public static int Lstat(string path, out FileStatus status) => Statx(AtFdCwd, path, AtSymlinkNoFollow, out status);

    /// <summary>Reads a symbolic link.</summary>
    /// <param name="path">The link.</param>
    /// <param name="target">Where it points to; null on failure.</param>
    public static int ReadLink(string path, out string? target)
    {
        byte[] buffer = new byte[4096];
        fixed (byte* name = CString(path))
        fixed (byte* p = buffer)
        {
            int result = Result(Libc.readlink(name, p, (nuint)buffer.Length));
            target = result >= 0 ? Encoding.UTF8.GetString(buffer, 0, result) : null;
            return result;
        }
    }

    /// <summary>chmod(2).</summary>
    /// <param name="path">The path.</param>
    /// <param name="mode">Permission bits.</param>
    public static int Chmod(string path, int mode)
    {
        fixed (byte* name = CString(path))
        {
            return Result(Libc.chmod(name, (uint)mode));
        }
    }

    /// <summary>unlink(2).</summary>
    /// <param name="path">The path.</param>
    public static int Unlink(string path)
    {
        fixed (byte* name = CString(path))
        {
            return Result(Libc.unlink(name));
        }
    }

    /// <summary>mkdir(2).</summary>
    /// <param name="path">The path.</param>
    /// <param name="mode">Permission bits, before the umask.</param>
    public static int Mkdir(string path, int mode)
    {
        fixed (byte* name = CString(path))
        {
            return Result(Libc.mkdir(name, (uint)mode));
        }
    }

    /// <summary>chroot(2): for all threads of the process. The working directory stays where it is.</summary>
    /// <param name="path">The new root.</param>
    public static int Chroot(string path)
    {
        fixed (byte* name = CString(path))
        {
            return Result(Libc.chroot(name));
        }
    }

    /// <summary>rmdir(2).</summary>
    /// <param name="path">The path.</param>
    public static int Rmdir(string path)
    {
        fixed (byte* name = CString(path))
        {
            return Result(Libc.rmdir(name));
        }
    }

    /// <summary>mknod(2).</summary>
    /// <param name="path">The path.</param>
    /// <param name="mode">Type (<see cref="FileStatus"/>) and permission bits.</param>
    /// <param name="device">Device number in the C library's encoding, see <see cref="FileStatus.RDevice"/>.</param>
    public static int Mknod(string path, uint mode, ulong device)
    {
        fixed (byte* name = CString(path))
        {
            return Result(Libc.mknod(name, mode, device));
        }
    }

    private static int Statx(int directory, string path, int flags, out FileStatus status)
    {
        StatxBuffer buffer = default;
        int result;
        fixed (byte* name = CString(path))
        {
            result = Result(Libc.statx(directory, name, flags, StatxBasicStats, &buffer));
        }

        status = new FileStatus(
            buffer.Mode,
            buffer.Uid,
            buffer.Gid,
            buffer.Links,
            (long)buffer.Size,
            (long)buffer.Blocks,
            buffer.BlockSize,
            buffer.Inode,
            buffer.DeviceMajor,
            buffer.DeviceMinor,
            buffer.RDeviceMajor,
            buffer.RDeviceMinor,
            buffer.ModifiedSeconds,
            buffer.ModifiedNanoseconds);
        return result;
    }
}
