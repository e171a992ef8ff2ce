namespace NbdFuse.Attach;

/// <summary>What status --json prints. Keys are added in one version; a changed meaning is a new version.</summary>
/// <param name="Version">Version of the format.</param>
/// <param name="Devices">The devices, in the order of their paths.</param>
public sealed record StatusDocument(int Version, IReadOnlyList<StatusDevice> Devices)
{
    /// <summary>The present version.</summary>
    public const int CurrentVersion = 1;
}
