namespace NbdFuse.Boot;

/// <summary>One file, directory, link or device of an archive.</summary>
/// <param name="Mode">Type and permissions, as st_mode has them.</param>
internal sealed record ArchiveEntry(int Mode)
{
    /// <summary>Reads the content of a file, or the target of a link; called when the entry is written.</summary>
    public Func<byte[]> Read { get; init; } = static () => [];

    /// <summary>Major number of a device.</summary>
    public int Major { get; init; }

    /// <summary>Minor number of a device.</summary>
    public int Minor { get; init; }
}
