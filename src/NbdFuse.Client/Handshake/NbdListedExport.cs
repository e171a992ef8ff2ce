using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>One export of a listing.</summary>
/// <param name="Name">The name, exactly as it must be asked for: sanitise it before it is shown.</param>
/// <param name="Description">Text for humans without control characters, or null.</param>
/// <param name="Info">What NBD_OPT_INFO said about it, or null when that was not asked or was refused.</param>
/// <param name="InfoError">Why there is no <paramref name="Info"/> although it was asked for, or null.</param>
/// <param name="Contexts">Names of its metadata contexts, as the server sent them, or null when not asked for, or refused.</param>
public sealed record NbdListedExport(
    string Name,
    string? Description,
    NbdExportInfo? Info = null,
    string? InfoError = null,
    IReadOnlyList<string>? Contexts = null);
