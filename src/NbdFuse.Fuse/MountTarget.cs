using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Fuse;

/// <summary>Where the file appears: over an existing regular file, or inside a directory.</summary>
/// <param name="Path">
/// Absolute path that is mounted over, without symbolic links: unmounting follows none, and the kernel's list of mounts shows none.
/// </param>
/// <param name="FileName">Name of the file inside the mounted directory; null when <paramref name="Path"/> is the file.</param>
public sealed record MountTarget(string Path, string? FileName)
{
    /// <summary>Name of the file in a directory that was given without one.</summary>
    public const string DefaultFileName = "nbd";

    // Mounts stack; more dead ones than this over each other is no accident that a loop should repair.
    private const int MaximumStaleMounts = 16;

    /// <summary>True when the mount point itself is the file.</summary>
    public bool IsFile => FileName is null;

    /// <summary>Path of the file as users open it.</summary>
    public string FilePath => FileName is null ? Path : System.IO.Path.Combine(Path, FileName);

    /// <summary>
    /// Decides what a mount point given by the user means: a regular file is mounted over; a directory gets the file
    /// <c>nbd</c>; DIR/NAME, where only DIR exists, gets the file NAME. What a killed process of this program left mounted
    /// there is unmounted first; dead mounts of others are left alone.
    /// </summary>
    /// <param name="path">The path, absolute or relative.</param>
    /// <param name="logger">Hears of dead mounts that are replaced; null for nobody.</param>
    /// <returns>The target.</returns>
    /// <exception cref="FuseException">The path can't be mounted over; the message says why and what to do.</exception>
    public static MountTarget Resolve(string path, ILogger? logger = null)
    {
        if (path.Length == 0)
        {
            throw new FuseException("the mount point is empty: name an existing file or directory");
        }

        // A trailing slash says "directory"; the rest of the code wants the name before it.
        string full = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(path));
        string? parent = System.IO.Path.GetDirectoryName(full);
        for (int attempt = 0; attempt < MaximumStaleMounts; attempt++)
        {
            // The parent first: while it is dead, the path below it can't be looked at.
            if (parent is not null && IsStale(Posix.StatUncached(parent, out _)))
            {
                ReplaceStale(parent, logger);
                continue;
            }

            // Of a dead mount the kernel may still know the attributes, and would answer in its place.
            int result = Posix.StatUncached(full, out FileStatus status);
            if (IsStale(result))
            {
                ReplaceStale(full, logger);
                continue;
            }

            return Classify(path, full, parent, result, status);
        }

        throw new FuseException(
            $"{path}: more than {MaximumStaleMounts} dead mounts lie over each other here; unmount them with 'umount -l {path}'");
    }

    private static MountTarget Classify(string path, string full, string? parent, int result, in FileStatus status)
    {
        if (result >= 0)
        {
            if (status.IsRegular)
            {
                if (path.EndsWith('/'))
                {
                    throw new FuseException($"{path}: this is a file, not a directory; leave the slash at the end out", Errno.ENOTDIR);
                }

                return new MountTarget(WithoutLinks(full), null);
            }

            return status.IsDirectory
                ? new MountTarget(WithoutLinks(full), DefaultFileName)
                : throw new FuseException(
                    $"{path}: neither a regular file nor a directory; create one with 'touch FILE' or 'mkdir DIR' and mount there");
        }

        if (result != -Errno.ENOENT)
        {
            throw new FuseException($"{path}: cannot look at the mount point: {Errno.Describe(result)}", -result);
        }

        if (parent is null || Posix.Stat(parent, out FileStatus parentStatus) < 0)
        {
            throw new FuseException(
                $"{path}: neither the mount point nor the directory it would be in exists; create one with 'mkdir -p {parent}'",
                Errno.ENOENT);
        }

        if (!parentStatus.IsDirectory)
        {
            throw new FuseException($"{path}: {parent} is not a directory", Errno.ENOTDIR);
        }

        if (path.EndsWith('/'))
        {
            throw new FuseException($"{path}: no such directory; create it with 'mkdir {path}'", Errno.ENOENT);
        }

        return new MountTarget(WithoutLinks(parent), System.IO.Path.GetFileName(full));
    }

    // ENOTCONN: the server of the mount is gone. ECONNABORTED: its connection was aborted.
    internal static bool IsStale(int result) => result is -Errno.ENOTCONN or -Errno.ECONNABORTED;

    // Opening by O_PATH asks nothing of the file system that lies there: it works for a dead mount too.
    private static string WithoutLinks(string path)
    {
        int fd = Posix.Open(path, OpenFlags.Path | OpenFlags.CloseOnExec);
        if (fd < 0)
        {
            return path;
        }

        using FileDescriptor descriptor = FileDescriptor.Own(fd);
        return Posix.ReadLink($"/proc/self/fd/{fd}", out string? real) > 0 && real!.StartsWith('/') ? real : path;
    }

    private static void ReplaceStale(string path, ILogger? logger)
    {
        string real = WithoutLinks(path);
        List<MountEntry>? mounts = MountTable.Read();
        MountEntry? dead = mounts is null ? null : MountTable.At(mounts, real);
        if (dead is not { IsOurs: true })
        {
            throw NotOurs(path, dead ?? (mounts is null ? null : MountTable.Covering(mounts, real)));
        }

        if (logger is not null)
        {
            FuseLog.Stale(logger, real);
        }

        int result = Posix.Umount2(real, Posix.UnmountDetach | Posix.UnmountNoFollow);
        if (result == -Errno.EPERM)
        {
            Fusermount.Unmount(real, lazy: true);
            return;
        }

        if (result < 0)
        {
            throw new FuseException(
                $"{path}: a dead mount lies here and cannot be removed: {Errno.Describe(result)}; try 'umount -l {real}'", -result);
        }
    }

    private static FuseException NotOurs(string path, MountEntry? dead)
    {
        string place = dead?.MountPoint ?? path;
        string what = dead is null ? "a dead mount" : $"a dead mount of type {dead.Type}";
        return new FuseException(
            $"{path}: {what} lies at {place}, and it is not one of nbdfuse; " +
            $"unmount it with 'umount -l {place}', or without root 'fusermount3 -u -z {place}'",
            Errno.ENOTCONN);
    }
}
