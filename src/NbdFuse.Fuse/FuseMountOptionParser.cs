using System.Globalization;
using NbdFuse.Native;

namespace NbdFuse.Fuse;

/// <summary>Parses the arguments of <c>-o</c>, with the names that mount(8) and libfuse give the options.</summary>
public static class FuseMountOptionParser
{
    // MS_DIRSYNC, MS_NODIRATIME, MS_STRICTATIME (linux/mount.h).
    private const MountFlags DirectorySync = (MountFlags)128;
    private const MountFlags NoDirectoryAccessTime = (MountFlags)2048;
    private const MountFlags StrictAccessTime = (MountFlags)(1 << 24);

    private static readonly string[] Known =
    [
        "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "atime", "noatime", "diratime", "nodiratime",
        "relatime", "strictatime", "sync", "async", "dirsync", "allow_other", "allow_root", "default_permissions",
        "fsname=", "subtype=", "max_read=", "max_write=", "max_readahead=", "max_background=", "congestion_threshold=",
        "kernel_cache", "auto_cache", "noauto_cache", "direct_io", "uid=", "gid=", "umask=", "mode=", "attr_timeout=",
        "entry_timeout=", "ac_attr_timeout=", "negative_timeout=", "auto_unmount",
    ];

    /// <summary>The text of <c>--fuse-help</c>.</summary>
    public static string Help { get; } = """
        FUSE options, each behind -o, several separated by commas:
            ro rw                  read-only, read-write
            nosuid nodev noexec    (suid, dev, exec) what the mount may hold; nosuid and nodev are the default
            noatime nodiratime relatime strictatime (atime, diratime)
                                   access times
            sync async dirsync     synchronous writes
            allow_other            other users may use the mount (without root: needs user_allow_other in /etc/fuse.conf)
            allow_root             root may use the mount besides its owner
            default_permissions    the kernel checks mode and owner
            fsname=NAME            source shown in /proc/mounts
            subtype=NAME           type shown in /proc/mounts, after "fuse."
            uid=N gid=N            owner and group shown
            umask=OCTAL            permission bits taken away: from those of mode, or from 0777
            mode=OCTAL             permission bits of the file (default 0666, read-only 0444)
            direct_io              no page cache
            kernel_cache           the page cache is kept when the file is closed
            auto_cache             the page cache is dropped when size or modification time changed
            attr_timeout=SECONDS   how long the kernel keeps attributes (default 3600)
            entry_timeout=SECONDS  how long the kernel keeps names (default 3600)
            max_read=BYTES         largest read, at least 4096
            max_write=BYTES        largest write, 4096 to 1048576 (default 1048576)
            max_readahead=BYTES    upper bound of the kernel's read-ahead
            max_background=N       most background requests of the kernel, 1 to 65535
            congestion_threshold=N from here on read-ahead holds back, 1 to 65535
            auto_unmount           unmount when the process ends, however it ends (needs fusermount3)

        """;

    /// <summary>Parses all the arguments of <c>-o</c>; later ones win.</summary>
    /// <param name="arguments">One string per <c>-o</c>; a backslash before a comma keeps the comma in the value.</param>
    /// <param name="defaults">What holds when nothing is said; null for the usual.</param>
    /// <returns>The options.</returns>
    /// <exception cref="FuseException">An option is unknown or its value is out of range.</exception>
    public static FuseMountOptions Parse(IEnumerable<string> arguments, FuseMountOptions? defaults = null)
    {
        FuseMountOptions options = defaults ?? new FuseMountOptions();
        foreach (string argument in arguments)
        {
            foreach (string option in Split(argument))
            {
                if (option.Length != 0)
                {
                    options = Apply(options, option);
                }
            }
        }

        return options.AllowOther && options.AllowRoot
            ? throw new FuseException("-o allow_other and -o allow_root exclude each other: choose one")
            : options;
    }

    private static List<string> Split(string argument)
    {
        List<string> options = [];
        System.Text.StringBuilder option = new();
        for (int i = 0; i < argument.Length; i++)
        {
            if (argument[i] == '\\' && i + 1 < argument.Length && argument[i + 1] is ',' or '\\')
            {
                option.Append(argument[++i]);
            }
            else if (argument[i] == ',')
            {
                options.Add(option.ToString());
                option.Clear();
            }
            else
            {
                option.Append(argument[i]);
            }
        }

        options.Add(option.ToString());
        return options;
    }

    private static FuseMountOptions Apply(FuseMountOptions options, string option)
    {
        int equals = option.IndexOf('=', StringComparison.Ordinal);
        string name = equals < 0 ? option : option[..(equals + 1)];
        string value = equals < 0 ? string.Empty : option[(equals + 1)..];
        return name switch
        {
            "ro" => Set(options, MountFlags.ReadOnly),
            "rw" => Clear(options, MountFlags.ReadOnly),
            "nosuid" => Set(options, MountFlags.NoSuid),
            "suid" => Clear(options, MountFlags.NoSuid),
            "nodev" => Set(options, MountFlags.NoDevices),
            "dev" => Clear(options, MountFlags.NoDevices),
            "noexec" => Set(options, MountFlags.NoExec),
            "exec" => Clear(options, MountFlags.NoExec),
            "noatime" => Set(options, MountFlags.NoAccessTime),
            "atime" => Clear(options, MountFlags.NoAccessTime),
            "nodiratime" => Set(options, NoDirectoryAccessTime),
            "diratime" => Clear(options, NoDirectoryAccessTime),
            "relatime" => Set(options, MountFlags.RelativeAccessTime),
            "strictatime" => Set(options, StrictAccessTime),
            "sync" => Set(options, MountFlags.Synchronous),
            "async" => Clear(options, MountFlags.Synchronous),
            "dirsync" => Set(options, DirectorySync),
            "allow_other" => options with { AllowOther = true },
            "allow_root" => options with { AllowRoot = true },
            "default_permissions" => options with { DefaultPermissions = true },
            "fsname=" => options with { FileSystemName = Text(option, value) },
            "subtype=" => options with { Subtype = Text(option, value) },
            "max_read=" => options with { MaximumRead = Number(option, value, 4096, int.MaxValue) },
            "max_write=" => options with { MaximumWrite = Number(option, value, 4096, FuseBuffers.MaximumPayload) },
            "max_readahead=" => options with { MaximumReadAhead = Number(option, value, 0, int.MaxValue) },
            "max_background=" => options with { MaximumBackground = Number(option, value, 1, ushort.MaxValue) },
            "congestion_threshold=" => options with { CongestionThreshold = Number(option, value, 1, ushort.MaxValue) },
            "kernel_cache" => options with { KernelCache = true },
            "auto_cache" => options with { AutoCache = true },
            "noauto_cache" => options with { AutoCache = false },
            "direct_io" => options with { DirectIo = true },
            "uid=" => options with { Uid = Id(option, value) },
            "gid=" => options with { Gid = Id(option, value) },
            "umask=" => options with { Umask = Octal(option, value) },
            "mode=" => options with { Mode = Octal(option, value) },
            "attr_timeout=" => options with { AttributeTimeoutMs = Seconds(option, value) },
            "entry_timeout=" => options with { EntryTimeoutMs = Seconds(option, value) },
            // Names are never answered as absent with a lifetime, and auto_cache needs no clock of its own: checked, then unused.
            "ac_attr_timeout=" or "negative_timeout=" => Seconds(option, value) >= 0 ? options : options,
            "auto_unmount" => options with { AutoUnmount = true },
            // libfuse's own tuning and fstab's words: scripts pass them, and there is nothing here that they could change.
            "clone_fd" or "max_threads=" or "max_idle_threads=" or "noforget" or "remember=" or "no_rofd_flush" or "debug" or
                "nonempty" or "async_read" or "sync_read" or "big_writes" or "hard_remove" or "use_ino" or "readdir_ino" or
                "nopath" or "intr" or "intr_signal=" or "splice_read" or "no_splice_read" or "splice_write" or
                "no_splice_write" or "splice_move" or "no_splice_move" or "defaults" or "auto" or "noauto" or "user" or
                "nouser" or "users" or "_netdev" or "nofail" => options,
            _ when name.StartsWith("x-", StringComparison.Ordinal) => options,
            _ => throw Unknown(option, name),
        };
    }

    private static FuseException Unknown(string option, string name)
    {
        bool needsValue = Array.IndexOf(Known, name + "=") >= 0;
        bool takesNone = name.EndsWith('=') && Array.IndexOf(Known, name[..^1]) >= 0;
        string reason = needsValue ? "needs a value" : takesNone ? "takes no value" : "is not known";
        return new FuseException($"-o {option}: this option {reason}; known are: {string.Join(", ", Known)}");
    }

    private static FuseMountOptions Set(FuseMountOptions options, MountFlags flag) => options with { Flags = options.Flags | flag };

    private static FuseMountOptions Clear(FuseMountOptions options, MountFlags flag) => options with { Flags = options.Flags & ~flag };

    private static string Text(string option, string value) =>
        value.Length == 0 || value.Contains('\0', StringComparison.Ordinal)
            ? throw new FuseException($"-o {option}: a name must follow the equals sign")
            : value;

    private static int Number(string option, string value, int minimum, int maximum) =>
        int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= minimum && number <= maximum
            ? number
            : throw new FuseException($"-o {option}: a number from {minimum} to {maximum} must follow the equals sign");

    // -1 as an unsigned id means "nobody chosen" to the kernel.
    private static uint Id(string option, string value) =>
        uint.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out uint id) && id != uint.MaxValue
            ? id
            : throw new FuseException($"-o {option}: a numeric id must follow the equals sign");

    private static uint Octal(string option, string value)
    {
        uint bits = 0;
        foreach (char digit in value)
        {
            if (digit is < '0' or > '7' || bits > 0x1FF)
            {
                bits = uint.MaxValue;
                break;
            }

            bits = (bits * 8) + (uint)(digit - '0');
        }

        return value.Length != 0 && bits <= 0x1FF
            ? bits
            : throw new FuseException($"-o {option}: permission bits in octal, 0 to 777, must follow the equals sign");
    }

    private static long Seconds(string option, string value) =>
        double.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds) && seconds <= int.MaxValue
            ? (long)(seconds * 1000)
            : throw new FuseException($"-o {option}: seconds, 0 or more, must follow the equals sign");
}
