using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Looks at a server without using it, and leaves politely.</summary>
public static class NbdProbe
{
    /// <summary>Asks about one export.</summary>
    /// <param name="target">The server.</param>
    /// <param name="exportName">The export; empty is the default one.</param>
    /// <param name="options">Deadlines and limits; null for the defaults.</param>
    /// <param name="logger">Where the steps are logged; null for nowhere.</param>
    /// <param name="cancellationToken">Breaks the attempt off.</param>
    /// <returns>Exactly one export, whose <see cref="NbdListedExport.Info"/> is not null.</returns>
    /// <exception cref="NbdException">No connection, no NBD server, or a refusal: see <see cref="NbdHandshake"/>.</exception>
    public static async Task<NbdServerInfo> InfoAsync(
        NbdTarget target,
        string exportName,
        NbdProbeOptions? options = null,
        ILogger? logger = null,
        CancellationToken cancellationToken = default)
    {
        options ??= new NbdProbeOptions();
        logger ??= NullLogger.Instance;
        NbdTransport transport = NbdTransport.Create(target, options.Transport, logger);
        await using (transport.ConfigureAwait(false))
        {
            NbdNegotiated result = await AskAsync(transport, exportName, options, logger, cancellationToken).ConfigureAwait(false);
            return new NbdServerInfo
            {
                Protocol = result.ProtocolName,
                StructuredReplies = result.StructuredReplies,
                Tls = result.Tls,
                Exports = [new NbdListedExport(exportName, result.Export.Description, result.Export)],
            };
        }
    }

    /// <summary>Lists the exports of a server, and asks about each.</summary>
    /// <param name="target">The server.</param>
    /// <param name="options">Deadlines and limits; null for the defaults.</param>
    /// <param name="logger">Where the steps are logged; null for nowhere.</param>
    /// <param name="cancellationToken">Breaks the attempt off.</param>
    /// <exception cref="NbdException">No connection, no NBD server, or a refusal: see <see cref="NbdHandshake"/>.</exception>
    public static async Task<NbdServerInfo> ListAsync(
        NbdTarget target,
        NbdProbeOptions? options = null,
        ILogger? logger = null,
        CancellationToken cancellationToken = default)
    {
        options ??= new NbdProbeOptions();
        logger ??= NullLogger.Instance;
        NbdTransport transport = NbdTransport.Create(target, options.Transport, logger);
        await using (transport.ConfigureAwait(false))
        {
            using TlsUpgrade? tls = transport.Tls?.Prepare();
            NbdListing listing = await transport.ConverseAsync(
                async socket =>
                {
                    using (socket)
                    {
                        return await NbdHandshake.ListAsync(
                            socket, options.Handshake with { Tls = tls }, withInfo: true, logger, cancellationToken).ConfigureAwait(false);
                    }
                },
                cancellationToken).ConfigureAwait(false);
            IReadOnlyList<NbdListedExport> exports = listing.Exports;
            if (target.CanOpenMore && (listing.InfoUnsupported || exports.Any(IsDoubtful)))
            {
                exports = await DescribeAsync(transport, exports, options, logger, cancellationToken).ConfigureAwait(false);
            }

            return new NbdServerInfo
            {
                // Others cannot list.
                Protocol = "newstyle-fixed",
                StructuredReplies = listing.StructuredReplies,
                Tls = listing.Tls,
                Exports = exports,
            };
        }
    }

    // nbd-server 3.24 says size 0 to NBD_OPT_INFO, the truth only to NBD_OPT_GO.
    private static bool IsDoubtful(NbdListedExport export) => export.Info is { Size: 0 };

    // For servers without a usable NBD_OPT_INFO: choosing an export ends the haggling, so each needs a connection.
    private static async Task<IReadOnlyList<NbdListedExport>> DescribeAsync(
        NbdTransport transport,
        IReadOnlyList<NbdListedExport> exports,
        NbdProbeOptions options,
        ILogger logger,
        CancellationToken cancellationToken)
    {
        var described = new List<NbdListedExport>(exports.Count);
        long end = MonotonicClock.Milliseconds + (long)(2 * options.Handshake.Timeout.TotalMilliseconds);
        foreach (NbdListedExport export in exports)
        {
            if (MonotonicClock.Milliseconds > end)
            {
                described.Add(export with { InfoError = "not asked: the server took too long for the exports before; ask for it by name" });
                continue;
            }

            if (export.InfoError is not null || (export.Info is not null && !IsDoubtful(export)))
            {
                described.Add(export);
                continue;
            }

            try
            {
                NbdNegotiated result = await AskAsync(transport, export.Name, options, logger, cancellationToken).ConfigureAwait(false);
                described.Add(export with { Info = result.Export });
            }
            catch (NbdException e)
            {
                described.Add(export with { InfoError = e.Message });
            }
        }

        return described;
    }

    private static async Task<NbdNegotiated> AskAsync(
        NbdTransport transport,
        string exportName,
        NbdProbeOptions options,
        ILogger logger,
        CancellationToken cancellationToken)
    {
        // Before the network: what is wrong with the credentials is wrong with every server.
        using TlsUpgrade? tls = transport.Tls?.Prepare();
        return await transport.ConverseAsync(
            async socket =>
            {
                using (socket)
                {
                    return await NbdHandshake.NegotiateAsync(
                        socket,
                        options.Handshake with { ExportName = exportName, Goal = NbdHandshakeGoal.Info, Tls = tls },
                        logger,
                        cancellationToken).ConfigureAwait(false);
                }
            },
            cancellationToken).ConfigureAwait(false);
    }
}
