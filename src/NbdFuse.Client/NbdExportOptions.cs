namespace NbdFuse.Client;

/// <summary>How an export is opened and used.</summary>
public sealed record NbdExportOptions
{
    /// <summary>Name of the export; empty is the server's default.</summary>
    public string ExportName { get; init; } = string.Empty;

    /// <summary>Extended headers are used where the server has them (proto.md, branch extension-ext-header).</summary>
    public bool ExtendedHeaders { get; init; } = true;

    /// <summary>Never change the export, even when the server would allow it.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Connections to open when the server allows more than one, 1 to 1024.</summary>
    public int Connections { get; init; } = 4;

    /// <summary>
    /// Helper threads for large payloads, 0 or more; less than 0 means one where there are four processors and two
    /// connections.
    /// </summary>
    public int Movers { get; init; } = -1;

    /// <summary>Requests with at least this much payload take the connections for large ones, in bytes.</summary>
    public int LargeBytes { get; init; } = 64 * 1024;

    /// <summary>Time for one handshake.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long a lost server is searched for before <see cref="OnTimeout"/>. <see cref="Timeout.InfiniteTimeSpan"/>, the default:
    /// for as long as it takes. Zero: not at all, its loss is an error at once. A target that can't be connected to again
    /// (<see cref="NbdTarget.CanReconnect"/>) is treated as with zero.
    /// </summary>
    public TimeSpan ReconnectTimeout { get; init; } = Timeout.InfiniteTimeSpan;

    /// <summary>What happens when <see cref="ReconnectTimeout"/> has passed.</summary>
    public NbdTimeoutAction OnTimeout { get; init; }

    /// <summary>
    /// Others change the export at the same time. Then what a crashed server forgot is not written again, which might destroy
    /// newer data of others, and an export with other content is not taken for another one.
    /// </summary>
    public bool Shared { get; init; }

    /// <summary>
    /// Bytes of acknowledged and not yet flushed writes that are kept for a server that crashes, 0 for none, else at least
    /// 256 KiB. Off for exports that are read-only, or that know no FLUSH, by which alone it could be emptied.
    /// </summary>
    public long WriteLogBytes { get; init; } = 16L << 20;

    /// <summary>For a write log that outlives this process; null for one that does not. Meaningless where there is no log.</summary>
    public NbdKeptLog? KeptLog { get; init; }

    /// <summary>
    /// How long the server may take to let go of a connection on which changes were under way, before they are sent again on
    /// another one.
    /// </summary>
    public TimeSpan FenceTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Further servers with the same export, tried in their order when the present one is lost, or is not to be had at the start. Only for
    /// exports that are not written to, unless <see cref="SharedStorage"/>.
    /// </summary>
    public IReadOnlyList<NbdAlternative> Also { get; init; } = [];

    /// <summary>
    /// The storage behind all servers and addresses is the same: a write that one of them has acknowledged is seen by all of them,
    /// and a FLUSH of one makes durable what another has acknowledged.
    /// </summary>
    public bool SharedStorage { get; init; }

    /// <summary>Deadlines and liveness of connections.</summary>
    public NbdTransportOptions Transport { get; init; } = new();
}
