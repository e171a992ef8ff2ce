using NbdFuse.Native;

namespace NbdFuse.Fuse;

/// <summary>What <c>-o</c> can say about a mount. Immutable.</summary>
public sealed record FuseMountOptions
{
    /// <summary>Default of <see cref="FileSystemName"/>.</summary>
    public const string DefaultFileSystemName = "nbdfuse";

    /// <summary>Default of <see cref="Subtype"/>.</summary>
    public const string DefaultSubtype = "nbdfuse";

    /// <summary>Flags of mount(2). nosuid and nodev unless asked otherwise, as a server without root could not give them up.</summary>
    public MountFlags Flags { get; init; } = MountFlags.NoSuid | MountFlags.NoDevices;

    /// <summary>The mount is read-only.</summary>
    public bool IsReadOnly => (Flags & MountFlags.ReadOnly) != 0;

    /// <summary>Other users may use the mount (<c>allow_other</c>).</summary>
    public bool AllowOther { get; init; }

    /// <summary>Root may use the mount besides its owner (<c>allow_root</c>); the session turns everybody else away.</summary>
    public bool AllowRoot { get; init; }

    /// <summary>The kernel checks permissions by mode and owner (<c>default_permissions</c>).</summary>
    public bool DefaultPermissions { get; init; }

    /// <summary>Source shown in /proc/mounts (<c>fsname=</c>).</summary>
    public string FileSystemName { get; init; } = DefaultFileSystemName;

    /// <summary>What follows <c>fuse.</c> in the type shown in /proc/mounts (<c>subtype=</c>).</summary>
    public string Subtype { get; init; } = DefaultSubtype;

    /// <summary>Largest READ in bytes (<c>max_read=</c>), at least 4096; 0 for no bound but the kernel's.</summary>
    public int MaximumRead { get; init; }

    /// <summary>Largest WRITE in bytes (<c>max_write=</c>), 4096 to 1 MiB.</summary>
    public int MaximumWrite { get; init; } = FuseBuffers.MaximumPayload;

    /// <summary>Largest payload of any request in bytes, a multiple of a page up to 1 MiB: what a buffer must have room for.</summary>
    public int LargestRequest { get; init; } = FuseBuffers.MaximumPayload;

    /// <summary>Upper bound of the kernel's read-ahead in bytes (<c>max_readahead=</c>); null for what it offers.</summary>
    public int? MaximumReadAhead { get; init; }

    /// <summary>Most background requests of the kernel (<c>max_background=</c>); 0 for a bound made from the queue's.</summary>
    public int MaximumBackground { get; init; }

    /// <summary>From how many background requests on read-ahead holds back (<c>congestion_threshold=</c>); 0 for 3/4 of the bound.</summary>
    public int CongestionThreshold { get; init; }

    /// <summary>The page cache outlives open and close (<c>kernel_cache</c>).</summary>
    public bool KernelCache { get; init; }

    /// <summary>The page cache is dropped when size or time of modification changed (<c>auto_cache</c>).</summary>
    public bool AutoCache { get; init; }

    /// <summary>No page cache at all (<c>direct_io</c>).</summary>
    public bool DirectIo { get; init; }

    /// <summary>Owner shown (<c>uid=</c>); null for the user we run as.</summary>
    public uint? Uid { get; init; }

    /// <summary>Group shown (<c>gid=</c>); null for the group we run as.</summary>
    public uint? Gid { get; init; }

    /// <summary>Permission bits taken away (<c>umask=</c>, octal), from 0777 when there is no mode; null for none.</summary>
    public uint? Umask { get; init; }

    /// <summary>Permission bits of the file (<c>mode=</c>, octal); null for 0666, or 0444 when read-only, unless there is a umask.</summary>
    public uint? Mode { get; init; }

    /// <summary>Milliseconds for which the kernel may keep attributes (<c>attr_timeout=</c>, in seconds).</summary>
    public long AttributeTimeoutMs { get; init; } = 3_600_000;

    /// <summary>Milliseconds for which the kernel may keep names (<c>entry_timeout=</c>, in seconds).</summary>
    public long EntryTimeoutMs { get; init; } = 3_600_000;

    /// <summary>Unmount when this process ends, however it ends (<c>auto_unmount</c>); needs fusermount3.</summary>
    public bool AutoUnmount { get; init; }

    /// <summary>
    /// Whether the kernel must check permissions: when asked to, or when somebody chose an owner or a mode, which would
    /// otherwise be a lie for everybody who may use the mount.
    /// </summary>
    public bool ChecksPermissions => DefaultPermissions || Uid is not null || Gid is not null || Umask is not null || Mode is not null;
}
