using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace NbdFuse.Server;

/// <summary>What an <see cref="NbdServer"/> serves, and its limits.</summary>
public sealed record NbdServerOptions
{
    /// <summary>The exports; at least one, no name twice.</summary>
    public required IReadOnlyList<NbdServerExport> Exports { get; init; }

    /// <summary>Where the log goes; nowhere by default.</summary>
    public ILogger Logger { get; init; } = NullLogger.Instance;

    /// <summary>Agree to structured replies. True by default.</summary>
    public bool StructuredReplies { get; init; } = true;

    /// <summary>Agree to extended headers. True by default.</summary>
    public bool ExtendedHeaders { get; init; } = true;

    /// <summary>Offer the metadata context base:allocation. True by default.</summary>
    public bool BlockStatus { get; init; } = true;

    /// <summary>A connection that has not reached transmission after this time is closed.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Connections at one time, 1 or more; further ones are closed at once.</summary>
    public int MaximumConnections { get; init; } = 128;

    /// <summary>Options that one connection may send, 1 or more.</summary>
    public int MaximumOptions { get; init; } = 256;

    /// <summary>Replace a unix socket at the address when nobody listens on it any more. True by default.</summary>
    public bool ReplaceStaleSocket { get; init; } = true;
}
