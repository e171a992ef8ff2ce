namespace NbdFuse.Boot;

/// <summary>The network, as it was brought up.</summary>
/// <param name="Facts">What it has told.</param>
/// <param name="Interface">The interface that carries the root; null when we did not configure one.</param>
/// <param name="HardwareAddress">Of the interface, with colons; null when it has none.</param>
public sealed record NetworkState(NetworkFacts Facts, string? Interface, string? HardwareAddress);
