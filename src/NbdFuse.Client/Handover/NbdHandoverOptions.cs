namespace NbdFuse.Client;

/// <summary>How connections are made that somebody else will use.</summary>
public sealed record NbdHandoverOptions
{
    /// <summary>Name of the export; empty is the default export.</summary>
    public string ExportName { get; init; } = string.Empty;

    /// <summary>Time for one handshake.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Deadlines and liveness of the connections; null for the defaults.</summary>
    public NbdTransportOptions? Transport { get; init; }
}
