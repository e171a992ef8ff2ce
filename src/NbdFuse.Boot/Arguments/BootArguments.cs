namespace NbdFuse.Boot;

/// <summary>What the kernel's command line says about the boot. Immutable; see docs/BOOT.md.</summary>
public sealed record BootArguments
{
    /// <summary>Names of drivers that <c>nbdfuse.driver=</c> takes.</summary>
    public static readonly IReadOnlyList<string> Drivers = ["auto", "ublk", "fuse", "nbd"];

    /// <summary>Where <c>nbdfuse.record</c> without a path writes.</summary>
    public const string DefaultRecord = "/run/nbdfuse.trace";

    /// <summary>The export; null when nothing on the command line names one.</summary>
    public ExportWish? Export { get; init; }

    /// <summary>Name of the argument that <see cref="Export"/> comes from.</summary>
    public string Key { get; init; } = string.Empty;

    /// <summary>The root filesystem on the export.</summary>
    public RootSelector Root { get; init; } = RootSelector.Any;

    /// <summary>Types of filesystems to try, separated by commas (<c>rootfstype=</c>); null to look what is there.</summary>
    public string? FileSystem { get; init; }

    /// <summary>Mount options (<c>rootflags=</c>); null for none.</summary>
    public string? MountOptions { get; init; }

    /// <summary>Mount read-only: by default, as the kernel does, unless <c>rw</c> is given.</summary>
    public bool IsReadOnly { get; init; } = true;

    /// <summary>Writes go to memory, on top of a root that is only read (<c>nbdfuse.overlay=tmpfs</c>).</summary>
    public bool Overlay { get; init; }

    /// <summary>A server that refuses the export is asked again without end (<c>rootwait</c>).</summary>
    public bool RootWait { get; init; }

    /// <summary>Check the filesystem before it is mounted (<c>fsck.mode=force</c>).</summary>
    public bool Check { get; init; }

    /// <summary>Driver: one of <see cref="Drivers"/>.</summary>
    public string Driver { get; init; } = "auto";

    /// <summary>
    /// File of the initramfs with the trace by which is read ahead (<c>nbdfuse.prefetch=PATH</c>); empty for none (<c>0</c>); null for the
    /// one that the initramfs was made with, if there is one.
    /// </summary>
    public string? Prefetch { get; init; }

    /// <summary>File below /run for a trace of what is read (<c>nbdfuse.record[=PATH]</c>); null for none.</summary>
    public string? Record { get; init; }

    /// <summary>A shell on the console when the boot fails; otherwise the machine is rebooted (<c>nbdfuse.rescue=0</c>).</summary>
    public bool Rescue { get; init; } = true;

    /// <summary>Say more.</summary>
    public bool Debug { get; init; }

    /// <summary>What <c>ip=</c> asks for; null when there is none.</summary>
    public IpConfiguration? Ip { get; init; }

    /// <summary>Hardware address of the card that the firmware booted from (<c>BOOTIF=</c>), with colons, in lower case; null for none.</summary>
    public string? BootInterface { get; init; }

    /// <summary>Program to start on the root (<c>init=</c>); null for the usual ones.</summary>
    public string? Init { get; init; }

    /// <summary>Choices that were made where words can be read in two ways, one line each.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>What cannot be understood, one line each, with what can be; the boot cannot go on.</summary>
    public IReadOnlyList<string> Errors { get; init; } = [];

    /// <summary>Reads a command line. Never fails: <see cref="Errors"/> tells what is wrong.</summary>
    /// <param name="commandLine">Content of /proc/cmdline.</param>
    public static BootArguments Parse(string commandLine) => new BootArgumentParser().Parse(commandLine);
}
