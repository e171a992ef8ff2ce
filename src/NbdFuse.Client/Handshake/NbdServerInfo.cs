namespace NbdFuse.Client;

/// <summary>What <c>nbdfuse info</c> and <c>nbdfuse list</c> print.</summary>
public sealed record NbdServerInfo
{
    /// <summary>The protocol as nbdinfo names it: <c>newstyle-fixed</c> or <c>newstyle</c>.</summary>
    public required string Protocol { get; init; }

    /// <summary>Whether the connection was encrypted.</summary>
    public bool Tls { get; init; }

    /// <summary>Whether structured replies were agreed on.</summary>
    public required bool StructuredReplies { get; init; }

    /// <summary>Whether extended headers were agreed on.</summary>
    public bool ExtendedHeaders { get; init; }

    /// <summary>The exports: the one that was asked about, or all that the server lists.</summary>
    public required IReadOnlyList<NbdListedExport> Exports { get; init; }
}
