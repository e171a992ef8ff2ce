namespace NbdFuse.Client;

/// <summary>Result of NBD_OPT_LIST.</summary>
public sealed record NbdListing
{
    /// <summary>The exports in the order in which the server listed them.</summary>
    public required IReadOnlyList<NbdListedExport> Exports { get; init; }

    /// <summary>Whether the server agreed on structured replies.</summary>
    public required bool StructuredReplies { get; init; }

    /// <summary>Whether the connection was encrypted.</summary>
    public bool Tls { get; init; }

    /// <summary>
    /// Whether information was asked for but NBD_OPT_INFO is unknown to the server: each export then needs a
    /// connection of its own.
    /// </summary>
    public required bool InfoUnsupported { get; init; }
}
