using Microsoft.Extensions.Logging;
using NbdFuse.Client;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>Asks a server on behalf of <c>info</c> and <c>list</c>.</summary>
internal static class ServerQuery
{
    /// <summary>Asks about the export that the URI names.</summary>
    /// <param name="uri">The URI.</param>
    /// <param name="tls">Whether and how the connection is encrypted.</param>
    /// <param name="logger">The log.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    public static async Task<ServerReport> InfoAsync(NbdUri uri, NbdTlsOptions tls, ILogger logger, CancellationToken cancellationToken)
    {
        Prepare(uri, logger);
        NbdServerInfo server = await NbdProbe.InfoAsync(
            NbdTarget.FromUri(uri), uri.ExportName, Options(tls), logger: logger, cancellationToken: cancellationToken).ConfigureAwait(false);
        return Report(uri, server);
    }

    /// <summary>Asks for all exports of the server that the URI names.</summary>
    /// <param name="uri">The URI; its export name does not matter.</param>
    /// <param name="tls">Whether and how the connection is encrypted.</param>
    /// <param name="logger">The log.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    public static async Task<ServerReport> ListAsync(NbdUri uri, NbdTlsOptions tls, ILogger logger, CancellationToken cancellationToken)
    {
        Prepare(uri, logger);
        NbdServerInfo server = await NbdProbe.ListAsync(
            NbdTarget.FromUri(uri), Options(tls), logger: logger, cancellationToken: cancellationToken).ConfigureAwait(false);
        return Report(uri, server);
    }

    private static NbdProbeOptions Options(NbdTlsOptions tls) => new() { Transport = new NbdTransportOptions { Tls = tls } };

    private static void Prepare(NbdUri uri, ILogger logger)
    {
        foreach (string warning in uri.Warnings)
        {
            CommandLog.Argument(logger, warning);
        }
    }

    private static ServerReport Report(NbdUri uri, NbdServerInfo server) => new(
        server.Protocol,
        server.Tls,
        server.StructuredReplies,
        [
            .. server.Exports.Select(export => new ExportReport(
                export.Info?.CanonicalName ?? export.Name,
                export.Info?.Description ?? export.Description,
                ExportUri.For(uri, export.Info?.CanonicalName ?? export.Name),
                export.Info,
                export.InfoError)),
        ]);
}
