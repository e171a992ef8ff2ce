namespace NbdFuse.Cli;

/// <summary>A device that a driver has brought up.</summary>
internal sealed record DriverDevice
{
    /// <summary>Its path.</summary>
    public required string Path { get; init; }

    /// <summary>Its size in bytes.</summary>
    public required long Size { get; init; }

    /// <summary>Size of the export in bytes; larger than <see cref="Size"/> when its end does not fill a block.</summary>
    public required long ExportSize { get; init; }

    /// <summary>Logical block size in bytes.</summary>
    public required int BlockSize { get; init; }

    /// <summary>Writes are refused.</summary>
    public required bool IsReadOnly { get; init; }

    /// <summary>Where the server is, for people.</summary>
    public required string Server { get; init; }

    /// <summary>Paths of the partitions' nodes.</summary>
    public IReadOnlyList<string> Partitions { get; init; } = [];

    /// <summary>
    /// Whether this process must stay for the device to work. Otherwise the daemon ends once it has told that the device is usable:
    /// it disposes the driver, takes nothing down, and leaves the entry with a process id of 0.
    /// </summary>
    public bool NeedsProcess { get; init; } = true;
}
