namespace NbdFuse.Client;

/// <summary>A server reached by a unix socket.</summary>
/// <param name="Path">Path of the socket, at most 107 bytes; one that begins with NUL is an abstract name.</param>
public sealed record UnixTarget(string Path) : NbdTarget
{
    /// <inheritdoc/>
    public override bool CanOpenMore => true;

    /// <inheritdoc/>
    public override string ToString() =>
        Path.StartsWith('\0') ? $"abstract unix socket @{Clean(Path[1..])}" : $"unix socket {Clean(Path)}";
}
