using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>What to negotiate, and how long and how much a server may talk.</summary>
public sealed record NbdHandshakeOptions
{
    /// <summary>Name of the export; empty is the default export. At most 4096 bytes of UTF-8, no NUL.</summary>
    public string ExportName { get; init; } = string.Empty;

    /// <summary>What the handshake is for.</summary>
    public NbdHandshakeGoal Goal { get; init; } = NbdHandshakeGoal.Go;

    /// <summary>Whether to ask for structured replies; a refusal is no error.</summary>
    public bool WantStructuredReplies { get; init; } = true;

    /// <summary>
    /// Whether to ask for block sizes, which is a promise to obey them (proto.md, "Size constraints"). When the server
    /// insists they are asked for anyway.
    /// </summary>
    public bool WantBlockSizes { get; init; } = true;

    /// <summary>Whether to ask for the canonical name and the description.</summary>
    public bool WantTexts { get; init; } = true;

    /// <summary>Time for the whole handshake, from the greeting to the last reply.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How the connection gets into TLS first; null: it stays in plain text. For one handshake only.</summary>
    internal TlsUpgrade? Tls { get; init; }

    /// <summary>All bytes that a server may send in a handshake, a listing excluded.</summary>
    public int MaxBytes { get; init; } = NbdLimits.MaxHandshakeBytes;

    /// <summary>All bytes that a server may send in answer to one NBD_OPT_LIST.</summary>
    public int MaxListBytes { get; init; } = NbdLimits.MaxListBytes;

    /// <summary>How many exports a server may list.</summary>
    public int MaxListedExports { get; init; } = NbdLimits.MaxListedExports;
}
