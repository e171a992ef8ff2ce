namespace NbdFuse.TestKit;

/// <summary>What a server of the tests serves: one file.</summary>
public sealed record RealServerOptions
{
    /// <summary>How it is reached.</summary>
    public ServerTransport Transport { get; init; } = ServerTransport.Unix;

    /// <summary>Name of the export. nbd-server can't have an empty one and uses "export" then.</summary>
    public string ExportName { get; init; } = string.Empty;

    /// <summary>Size of the file in bytes, when <see cref="Content"/> is null.</summary>
    public long Size { get; init; } = 16 << 20;

    /// <summary>Content of the file; null is zeroes.</summary>
    public byte[]? Content { get; init; }

    /// <summary>Serve it read-only.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Further arguments of the server's command (for nbd-server: lines of the export's section).</summary>
    public IReadOnlyList<string> Extra { get; init; } = [];
}
