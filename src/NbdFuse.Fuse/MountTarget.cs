using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Fuse;

/// <summary>Where the file appears: over an existing regular file, or inside a directory.</summary>
/// <param name="Path">Absolute path that is mounted over.</param>
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
    /// <c>nbd</c>; DIR/NAME, where only DIR exists, gets the file NAME. What a killed process left mounted there is
    /// unmounted first.
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

                return new MountTarget(full, null);
            }

            return status.IsDirectory
                ? new MountTarget(full, DefaultFileName)
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

        return new MountTarget(parent, System.IO.Path.GetFileName(full));
    }

    // ENOTCONN: the server of the mount is gone. ECONNABORTED: its connection was aborted.
    private static bool IsStale(int result) => result is -Errno.ENOTCONN or -Errno.ECONNABORTED;

    private static void ReplaceStale(string path, ILogger? logger)
    {
        if (logger is not null)
        {
            FuseLog.Stale(logger, path);
        }

        int result = Posix.Umount2(path, Posix.UnmountDetach | Posix.UnmountNoFollow);
        if (result == -Errno.EPERM)
        {
            Fusermount.Unmount(path, lazy: true);
            return;
        }

        if (result < 0)
        {
            throw new FuseException(
                $"{path}: a dead mount lies here and cannot be removed: {Errno.Describe(result)}; try 'umount -l {path}'", -result);
        }
    }
}
