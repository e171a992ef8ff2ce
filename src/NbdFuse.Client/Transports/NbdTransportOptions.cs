using System.Net;

namespace NbdFuse.Client;

/// <summary>Deadlines and liveness of connections.</summary>
public sealed record NbdTransportOptions
{
    /// <summary>Time for one connection: resolving the name and trying all its addresses.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>TCP: silence before the first keepalive probe; whole seconds, at least one.</summary>
    public TimeSpan KeepAliveIdle { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>TCP: time between probes; whole seconds, at least one.</summary>
    public TimeSpan KeepAliveInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>TCP: probes without an answer after which the connection is dead, 1 to 127.</summary>
    public int KeepAliveCount { get; init; } = 4;

    /// <summary>
    /// TCP: how long sent data or probes may stay unacknowledged before the connection is dead (TCP_USER_TIMEOUT). Zero leaves
    /// it to the system, which takes a quarter of an hour. It also ends a connection whose peer is alive but takes no data for
    /// so long (tcp(7)), so it is longer than any stall of a slow disk.
    /// </summary>
    public TimeSpan UserTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// How long a command may take to end once its connection is closed, and again after SIGTERM, before SIGKILL. Long, since
    /// some servers write back what they hold only now.
    /// </summary>
    public TimeSpan CommandExitTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether and how connections are encrypted.</summary>
    public NbdTlsOptions Tls { get; init; } = new();

    /// <summary>
    /// Hears of every connection before a byte is sent over it, so that somebody else can hold it, too: what was sent to a server
    /// may act after the death of this process. May be called on any thread; must not throw.
    /// </summary>
    public Action<NbdFuse.Native.FileDescriptor>? Connected { get; init; }

    /// <summary>
    /// Resolves host names, in the order in which the addresses are to be tried. Null: the system's resolver.
    /// </summary>
    public Func<string, CancellationToken, Task<IPAddress[]>>? Resolve { get; init; }
}
