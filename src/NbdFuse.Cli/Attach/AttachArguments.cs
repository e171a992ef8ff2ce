using NbdFuse.Client;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>What attach asks for. Immutable.</summary>
internal sealed record AttachArguments
{
    /// <summary>The export.</summary>
    public required NbdUri Uri { get; init; }

    /// <summary>Whether and how connections are encrypted.</summary>
    public NbdTlsOptions Tls { get; init; } = new();

    /// <summary>The driver: one of <see cref="DeviceDrivers.Names"/>.</summary>
    public string Driver { get; init; } = DeviceDrivers.Automatic;

    /// <summary>Logical block size in bytes, 512 to 4096; 0 for the one that suits what is on the device.</summary>
    public int BlockSize { get; init; }

    /// <summary>The device to use, or null for a free one.</summary>
    public string? Device { get; init; }

    /// <summary>Go on with <see cref="Device"/>, which a dead process has left behind, instead of making one.</summary>
    public bool Recover { get; init; }

    /// <summary>No writes, whatever the server allows.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Connections, 1 to 1024.</summary>
    public int Connections { get; init; } = NbdfuseArguments.DefaultConnections;

    /// <summary>What to do when the server is lost; the rest of these options is set elsewhere. Not of the driver nbd.</summary>
    public NbdExportOptions Recovery { get; init; } = new();

    /// <summary>File with the trace by which is read ahead, or null.</summary>
    public string? PrefetchFile { get; init; }

    /// <summary>File for a trace of what is read, or null.</summary>
    public string? RecordFile { get; init; }

    /// <summary>Memory for what lies around short reads of a slow server, in bytes; 0: no such reading. Not of the driver nbd.</summary>
    public long AroundBytes { get; init; }

    /// <summary>What is asked of the driver nbd alone.</summary>
    public NbdDriverOptions Nbd { get; init; } = new();

    /// <summary>Values of -o in their order.</summary>
    public IReadOnlyList<string> MountOptions { get; init; } = [];

    /// <summary>Stay in the foreground.</summary>
    public bool Foreground { get; init; }

    /// <summary>In the foreground: this process has started itself anew, and is protected as far as it can be.</summary>
    public bool IsPrepared { get; init; }

    /// <summary>
    /// A keeper holds the device of the driver fuse, and follows a process that dies with another one: asked for, not wanted, or
    /// null for where it is of use.
    /// </summary>
    public bool? Keeper { get; init; }

    /// <summary>Null unless this process was started by a keeper: the directory to which relative paths belong.</summary>
    public string? KeptDirectory { get; init; }

    /// <summary>
    /// How long after the device is usable is rehearsed what may happen later (<see cref="Rehearsal"/>); zero: before, as whoever may
    /// be short of memory or hang should have it. A boot, whose processor is what it waits for, has nothing of either yet.
    /// </summary>
    public TimeSpan RehearsalDelay { get; init; }

    /// <summary>The directory made by the process that waits for us; null unless this process is the one in the background.</summary>
    public string? Entry { get; init; }

    /// <summary>The words after the verb, as they were given.</summary>
    public IReadOnlyList<string> Words { get; init; } = [];
}
