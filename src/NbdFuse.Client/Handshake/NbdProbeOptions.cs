namespace NbdFuse.Client;

/// <summary>How to connect and negotiate when a server is only looked at.</summary>
public sealed record NbdProbeOptions
{
    /// <summary>Deadlines of the connection.</summary>
    public NbdTransportOptions Transport { get; init; } = new();

    /// <summary>Deadline and limits of the handshake; export name and goal are not used.</summary>
    public NbdHandshakeOptions Handshake { get; init; } = new();
}
