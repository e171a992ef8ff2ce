using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>How a server is reached. <see cref="object.ToString"/> names it for messages, control characters removed.</summary>
public abstract record NbdTarget
{
    private protected NbdTarget()
    {
    }

    /// <summary>
    /// Whether the target gives another connection when asked again: for reconnection, or for looking at several exports.
    /// </summary>
    public abstract bool CanOpenMore { get; }

    /// <summary>
    /// Whether several connections at a time may be used when the server allows it: addresses only, as in libnbd's nbdfuse;
    /// not the commands, of which some serve one client at a time.
    /// </summary>
    public virtual bool CanMultiConn => CanOpenMore;

    /// <summary>
    /// Whether a lost server is found there again: at addresses; of commands only when a new connection may start them anew.
    /// </summary>
    public virtual bool CanReconnect => CanMultiConn;

    /// <summary>Why it is not, in one clause for whoever has lost it.</summary>
    public virtual string WhyNoReconnect => "it cannot be connected to again";

    /// <summary>The target that a URI names; its export name and TLS settings are not part of it.</summary>
    public static NbdTarget FromUri(NbdUri uri)
    {
        ArgumentNullException.ThrowIfNull(uri);
        return uri.Transport switch
        {
            NbdUriTransport.Unix => new UnixTarget(uri.SocketPath!),
            NbdUriTransport.Vsock => new VsockTarget(uri.VsockCid, (uint)uri.Port),
            _ => new TcpTarget(uri.Host, uri.Port),
        };
    }

    private protected static string Clean(string text) => NbdText.Sanitize(text, NbdLimits.MaxStringBytes);

    private protected static string Clean(IReadOnlyList<string> arguments) => Clean(string.Join(' ', arguments));
}
