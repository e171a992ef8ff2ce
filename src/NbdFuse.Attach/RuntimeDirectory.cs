using NbdFuse.Native;

namespace NbdFuse.Attach;

/// <summary>The directory in which daemons leave sockets and state files: one subdirectory for each.</summary>
public static class RuntimeDirectory
{
    /// <summary>Name of the environment variable that names another directory.</summary>
    public const string Variable = "NBDFUSE_RUNTIME_DIR";

    // sun_path of sockaddr_un (unix(7)), less its terminator.
    private const int MaximumSocketPath = 107;

    private const int NameLength = 12;

    // rwx for the owner.
    private const int Private = 0x1C0;

    // w for group and others.
    private const int WritableByOthers = 0x12;

    /// <summary>Its path: /run/nbdfuse for root, $XDG_RUNTIME_DIR/nbdfuse for others.</summary>
    /// <exception cref="AttachException">There is none.</exception>
    public static string FullPath
    {
        get
        {
            if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } named)
            {
                return Path.GetFullPath(named);
            }

            if (Posix.GetEuid() == 0)
            {
                return "/run/nbdfuse";
            }

            return Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") is { Length: > 0 } user
                ? Path.Combine(user, "nbdfuse")
                : throw new AttachException("XDG_RUNTIME_DIR is not set: there is no directory for the control sockets of this user");
        }
    }

    /// <summary>Whether this process looks into a directory of its user's own, while attaching needs root.</summary>
    public static bool HidesThoseOfRoot =>
        Posix.GetEuid() != 0 && string.IsNullOrEmpty(Environment.GetEnvironmentVariable(Variable));

    /// <summary>Makes a directory for a daemon.</summary>
    /// <returns>The entry.</returns>
    /// <exception cref="AttachException">It could not, or the directory belongs to somebody else.</exception>
    public static AttachEntry CreateEntry()
    {
        string root = FullPath;

        // Not by the cryptographic generator, which is OpenSSL's: an initramfs has none, and nobody else may enter the directory.
        string name = Guid.NewGuid().ToString("n")[..NameLength];
        var entry = new AttachEntry(Path.Combine(root, name));
        if (System.Text.Encoding.UTF8.GetByteCount(entry.SocketPath) > MaximumSocketPath)
        {
            throw new AttachException($"{root}: too long for the path of a socket in it; name a shorter one with {Variable}");
        }

        if (Path.GetDirectoryName(root) is { } parent)
        {
            Directory.CreateDirectory(parent);
        }

        Make(root, mayExist: true);
        Make(entry.Directory, mayExist: false);
        Make(entry.MountPoint, mayExist: false);
        return entry;
    }

    /// <summary>All entries, in the order of their names.</summary>
    /// <exception cref="AttachException">Others could have made them.</exception>
    public static IReadOnlyList<AttachEntry> Entries()
    {
        string root = FullPath;
        if (Posix.Stat(root, out FileStatus status) < 0 || !status.IsDirectory)
        {
            return [];
        }

        // Processes are killed and paths unmounted because files there name them.
        if ((status.Uid != Posix.GetEuid() && status.Uid != 0) || (status.Mode & WritableByOthers) != 0)
        {
            throw new AttachException($"{root} belongs to another user, or others may write to it: what lies there is not believed; remove it");
        }

        return [.. Directory.GetDirectories(root).Order(StringComparer.Ordinal).Select(path => new AttachEntry(path))];
    }

    private static void Make(string path, bool mayExist)
    {
        int result = Posix.Mkdir(path, Private);
        if (result < 0 && !(mayExist && result == -Errno.EEXIST))
        {
            throw new AttachException($"{path}: cannot make the directory: {Errno.Describe(result)}");
        }

        // What lies in it is believed: nobody else may have made it.
        if (Posix.Lstat(path, out FileStatus status) < 0 || !status.IsDirectory || status.Uid != Posix.GetEuid())
        {
            throw new AttachException($"{path} is no directory of this user; remove it");
        }

        if ((status.Mode & 0x1FF) != Private)
        {
            PosixException.Check(Posix.Chmod(path, Private), path);
        }
    }
}
