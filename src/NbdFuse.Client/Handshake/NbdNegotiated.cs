using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Result of a handshake.</summary>
public sealed record NbdNegotiated
{
    /// <summary>What the server said about the export.</summary>
    public required NbdExportInfo Export { get; init; }

    /// <summary>Whether structured replies were agreed on: every READ is answered by chunks.</summary>
    public required bool StructuredReplies { get; init; }

    /// <summary>Whether the server speaks fixed newstyle, as all do since 2011.</summary>
    public required bool FixedNewstyle { get; init; }

    /// <summary>Whether NBD_OPT_GO or NBD_OPT_INFO was understood; otherwise NBD_OPT_EXPORT_NAME was used.</summary>
    public required bool UsedOptGo { get; init; }

    /// <summary>Whether the connection is encrypted.</summary>
    public bool Tls { get; init; }

    /// <summary>The protocol as nbdinfo names it: <c>newstyle-fixed</c> or <c>newstyle</c>.</summary>
    public string ProtocolName => FixedNewstyle ? "newstyle-fixed" : "newstyle";
}
