namespace NbdFuse.Attach;

/// <summary>Something that a device promises, or that could not be had on this machine.</summary>
/// <param name="Name">A short name with hyphens, such as direct-io; docs/ATTACH.md lists them all.</param>
/// <param name="InForce">Whether it holds.</param>
/// <param name="Reason">Why it does not hold, or what limits it; one line, or null.</param>
public sealed record Guarantee(string Name, bool InForce, string? Reason = null);
