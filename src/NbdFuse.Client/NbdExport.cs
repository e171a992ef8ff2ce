using Microsoft.Extensions.Logging;
using NbdFuse.Block;
using NbdFuse.Client.Transmission;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>
/// An open export of an NBD server, as a block device: one request is one command on one of its connections. When the server
/// is lost, requests wait until it is back (see <see cref="State"/>); what it had acknowledged and may have forgotten is
/// written again first.
/// </summary>
/// <remarks>
/// THREADING: opening and closing are control plane. Between <see cref="Start"/> and the end, requests are submitted and
/// completed on the loop that was given to it; movers own the connections for large payloads and come back through a
/// ring.
/// DURABILITY: with several connections the server has advertised CAN_MULTI_CONN, which makes a FLUSH on one of them
/// cover what was acknowledged on any (NBD spec, "Transmission flags"); without it there is one connection only.
/// </remarks>
public sealed partial class NbdExport : IBlockDevice, IAsyncDisposable
{
    private static readonly TimeSpan FurtherHandshakeTimeout = TimeSpan.FromSeconds(5);

    private readonly NbdExportOptions _options;
    private readonly ILogger _logger;
    private readonly ServerList _servers;
    private readonly bool _canRecover;
    private readonly int _wantedConnections;

    // Until Start; then they belong to the connections.
    private List<NegotiatedSocket> _sockets;

    private NbdExport(
        ServerList servers, List<NegotiatedSocket> sockets, NbdExportOptions options, ILogger logger)
    {
        _servers = servers;
        _readyServer = servers.Current;
        _sockets = sockets;
        _options = options;
        _logger = logger;
        Negotiated = sockets[0].Negotiated;
        Info = ExportGeometry.Describe(Negotiated.Export, options.ReadOnly) with
        {
            CanBlockStatus = WireForm.Of(Negotiated).StatusContext is not null,
            MaximumTrim = Negotiated.ExtendedHeaders ? ExportGeometry.LongestTrim : 0,
        };
        _connections = sockets.Count;
        _wantedConnections = sockets.Count;
        _canRecover = servers.CanReconnect && options.ReconnectTimeout != TimeSpan.Zero;
        if (_canRecover && !options.Shared && !Info.IsReadOnly && Info.CanFlush && options.WriteLogBytes > 0)
        {
            _log = OpenLog(options, Info.MinimumBlock, out _awaitsTakeOver);
            Info = Info with { MaximumPayload = Math.Min(Info.MaximumPayload, _log.MaximumPayload) };
        }

        if (_canRecover && !options.Shared)
        {
            _fingerprint = new Fingerprint(Info.MinimumBlock, _log is { Memory.IsShared: true } ? _log.Memory : null);
        }
    }

    /// <summary>What was negotiated on the first connection, with the size that the export has grown to since.</summary>
    public NbdNegotiated Negotiated { get; private set; }

    /// <inheritdoc/>
    public BlockDeviceInfo Info { get; private set; }

    /// <summary>The server that the export is had from at present, or was last. May be asked on any thread.</summary>
    public string Server => _servers.NameOf(_servers.Current);

    /// <summary>Number of connections.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>Ends when the export has become unusable for good (<see cref="NbdExportState.Failed"/>), with the reason.</summary>
    public Task<NbdException> Failure => _failed.Task;

    /// <summary>Connects, negotiates, and opens more connections when the server allows them.</summary>
    /// <param name="target">Where the server is.</param>
    /// <param name="options">How to open.</param>
    /// <param name="logger">Log.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <returns>The export; it does nothing before <see cref="Start"/>.</returns>
    /// <exception cref="NbdException">
    /// No server can be reached, or they refuse, or break the protocol; or there are several, and the export would be written to.
    /// </exception>
    public static async Task<NbdExport> OpenAsync(
        NbdTarget target, NbdExportOptions options, ILogger logger, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Connections, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Connections, 1024);
        var servers = new ServerList(target, options, logger);
        List<NegotiatedSocket> sockets = [];
        try
        {
            await OpenFirstAsync(servers, sockets, options, logger, cancellationToken).ConfigureAwait(false);
            if (servers.Count > 1 && !options.SharedStorage && !options.ReadOnly && !sockets[0].Negotiated.Export.IsReadOnly)
            {
                throw new NbdException(
                    "several servers (--also) are for exports that are only read: what was written to one would be missing at the other; add -r, or --failover=shared-storage if all of them stand on the same storage");
            }

            return new NbdExport(servers, sockets, options, logger);
        }
        catch
        {
            Leave(sockets);
            await servers.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Opens at the first server that can be had.</summary>
    private static async Task OpenFirstAsync(
        ServerList servers, List<NegotiatedSocket> sockets, NbdExportOptions options, ILogger logger, CancellationToken cancellationToken)
    {
        List<string> failures = [];
        for (int server = 0; ; server++)
        {
            try
            {
                servers.Current = server;
                await OpenAllAsync(servers, server, sockets, options, anyAddress: true, logger, cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (NbdException e) when (servers.Count > 1)
            {
                Leave(sockets);
                sockets.Clear();
                failures.Add(e.Message);
                if (failures.Count == servers.Count)
                {
                    throw new NbdException($"no server can be used: {string.Join("; ", failures)}", e);
                }

                Log.ServerSkipped(logger, servers.NameOf(server), e.Message);
            }
        }
    }

    /// <summary>Opens one connection, and the others that are wanted and allowed, into a list that is the caller's, also on failure.</summary>
    private static async Task OpenAllAsync(
        ServerList servers,
        int server,
        List<NegotiatedSocket> sockets,
        NbdExportOptions options,
        bool anyAddress,
        ILogger logger,
        CancellationToken cancellationToken)
    {
        NbdTransport transport = servers[server];
        NbdHandshakeOptions handshake = HandshakeOf(options, servers.ExportOf(server));
        Task<NegotiatedSocket> first = anyAddress
            ? transport.OpenAsync(handshake, cancellationToken)
            : transport.OpenAgainAsync(handshake, cancellationToken);
        sockets.Add(await first.ConfigureAwait(false));
        if (sockets[0].Negotiated.Export.CanMultiConn && transport.Target.CanMultiConn)
        {
            await OpenMoreAsync(transport, handshake, sockets, options.Connections, logger, cancellationToken)
                .ConfigureAwait(false);
        }
    }

    private static NbdHandshakeOptions HandshakeOf(NbdExportOptions options, string exportName) => new()
    {
        ExportName = exportName,
        Timeout = options.HandshakeTimeout,
        WantExtendedHeaders = options.ExtendedHeaders,
        MetaContexts = [NbdMetaContextNames.BaseAllocation],
    };

    /// <summary>Says goodbye on connections that are not used after all.</summary>
    private static void Leave(IEnumerable<NegotiatedSocket> sockets)
    {
        foreach (NegotiatedSocket socket in sockets)
        {
            _ = NbdConnection.SayGoodbye(socket.Socket.Value, socket.Negotiated.ExtendedHeaders);
            socket.Socket.Dispose();
        }
    }

    /// <summary>
    /// Time for the handshake of a further connection: a server that takes one client at a time must not hold up the mount.
    /// </summary>
    private static TimeSpan Shorter(TimeSpan timeout) =>
        timeout < FurtherHandshakeTimeout ? timeout : FurtherHandshakeTimeout;

    private static async Task OpenMoreAsync(
        NbdTransport transport,
        NbdHandshakeOptions handshake,
        List<NegotiatedSocket> sockets,
        int wanted,
        ILogger logger,
        CancellationToken cancellationToken)
    {
        NbdExportInfo first = sockets[0].Negotiated.Export;
        while (sockets.Count < wanted)
        {
            NegotiatedSocket more;
            try
            {
                more = await transport.OpenAgainAsync(handshake with { Timeout = Shorter(handshake.Timeout) }, cancellationToken).ConfigureAwait(false);
            }
            catch (NbdException e)
            {
                // The export works without: a server may limit its clients.
                Log.FewerConnections(logger, sockets.Count, wanted, e.Message);
                return;
            }

            sockets.Add(more);
            if (more.Negotiated.Export.Size != first.Size || more.Negotiated.Export.Flags != first.Flags
                || more.Negotiated.Export.BlockSizes != first.BlockSizes)
            {
                throw new NbdProtocolException(
                    "CAN_MULTI_CONN promises the same export on every connection",
                    "a further connection was given another size, other flags or other block sizes");
            }
        }
    }
}
