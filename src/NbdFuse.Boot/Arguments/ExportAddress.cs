using NbdFuse.Protocol;

namespace NbdFuse.Boot;

/// <summary>Where the root is, with nothing left open.</summary>
/// <param name="Uri">The export.</param>
/// <param name="Alternate">The same with the other name that the words can mean; null for none.</param>
/// <param name="Notes">Choices that were made, one line each.</param>
public sealed record ExportAddress(NbdUri Uri, NbdUri? Alternate, IReadOnlyList<string> Notes)
{
    /// <summary>Partition that the words name beside the export; 0 for none.</summary>
    public int Partition { get; init; }
}
