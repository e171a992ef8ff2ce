namespace NbdFuse.Client;

/// <summary>A server that is started for one connection, on its standard input and output (<c>nbdkit -s</c>).</summary>
/// <param name="Arguments">The program, looked up in PATH, and its arguments: at least one.</param>
public sealed record CommandTarget(IReadOnlyList<string> Arguments) : NbdTarget
{
    /// <summary>It is started again when it is lost.</summary>
    public bool Respawn { get; init; }

    /// <inheritdoc/>
    public override bool CanOpenMore => false;

    /// <inheritdoc/>
    public override bool CanReconnect => Respawn;

    /// <inheritdoc/>
    public override string WhyNoReconnect => "a command is started again only with --respawn";

    /// <inheritdoc/>
    public override string ToString() => $"command \"{Clean(Arguments)}\"";
}
