namespace NbdFuse.MountTests;

/// <summary>How to start a mount.</summary>
internal sealed record MountStart
{
    /// <summary>The way the mountpoint is given.</summary>
    public MountShape Shape { get; init; } = MountShape.Directory;

    /// <summary>Options, before the mountpoint.</summary>
    public IReadOnlyList<string> Options { get; init; } = [];

    /// <summary>What follows the mountpoint: a URI, or a mode with its words.</summary>
    public required IReadOnlyList<string> Mode { get; init; }

    /// <summary>A program with its arguments that starts the command, as setpriv.</summary>
    public IReadOnlyList<string> Prefix { get; init; } = [];

    /// <summary>Run as the user 65534, whom the directory of the mount belongs to then.</summary>
    public bool Unprivileged { get; init; }

    /// <summary>Signals whose default the command shall have, even where the test run ignores them, as "INT".</summary>
    public string? DefaultSignal { get; init; }
}
