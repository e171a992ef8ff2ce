namespace NbdFuse.Client;

/// <summary>
/// A server that is started with a listening socket, as systemd does (sd_listen_fds(3): descriptor 3, LISTEN_FDS,
/// LISTEN_PID), and accepts connections as often as asked.
/// </summary>
/// <param name="Arguments">The program, looked up in PATH, and its arguments: at least one.</param>
public sealed record SocketActivationTarget(IReadOnlyList<string> Arguments) : NbdTarget
{
    /// <summary>It is started again when it has ended.</summary>
    public bool Respawn { get; init; }

    /// <inheritdoc/>
    public override bool CanOpenMore => true;

    /// <inheritdoc/>
    public override bool CanMultiConn => false;

    /// <inheritdoc/>
    public override bool CanReconnect => Respawn;

    /// <inheritdoc/>
    public override string WhyNoReconnect => "a command is started again only with --respawn";

    /// <inheritdoc/>
    public override string ToString() => $"socket-activated command \"{Clean(Arguments)}\"";
}
