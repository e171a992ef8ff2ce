namespace NbdFuse.Client;

/// <summary>A further server that has the same export.</summary>
/// <param name="Target">Where it is.</param>
/// <param name="ExportName">What the export is called there; empty is that server's default.</param>
/// <param name="Tls">Whether and how connections to it are encrypted.</param>
public sealed record NbdAlternative(NbdTarget Target, string ExportName, NbdTlsOptions Tls);
