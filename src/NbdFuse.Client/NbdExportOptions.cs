namespace NbdFuse.Client;

/// <summary>How an export is opened and used.</summary>
public sealed record NbdExportOptions
{
    /// <summary>Name of the export; empty is the server's default.</summary>
    public string ExportName { get; init; } = string.Empty;

    /// <summary>Never change the export, even when the server would allow it.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Connections to open when the server allows more than one, 1 to 1024.</summary>
    public int Connections { get; init; } = 4;

    /// <summary>
    /// Helper threads for large payloads, 0 or more; less than 0 means one where there are four processors and two
    /// connections.
    /// </summary>
    public int Movers { get; init; } = -1;

    /// <summary>Requests with at least this much payload take the connections for large ones, in bytes.</summary>
    public int LargeBytes { get; init; } = 64 * 1024;

    /// <summary>Time for one handshake.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Deadlines and liveness of connections.</summary>
    public NbdTransportOptions Transport { get; init; } = new();
}
