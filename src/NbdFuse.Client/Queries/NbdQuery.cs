using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Single requests to a server, for commands that look at it: maps, and what is in the first bytes.</summary>
/// <remarks>THREADING: control plane. Everything here blocks on threads of its own.</remarks>
public static class NbdQuery
{
    /// <summary>Reads the map of one metadata context over the whole export.</summary>
    /// <param name="target">The server.</param>
    /// <param name="exportName">The export; empty is the default one.</param>
    /// <param name="context">Name of the context, such as <see cref="NbdMetaContextNames.BaseAllocation"/>.</param>
    /// <param name="onExtent">
    /// Takes the pieces in order, equal neighbours merged: nothing is kept here, so that a map of any size can be read.
    /// </param>
    /// <param name="options">Deadlines and limits; null for the defaults. The deadline counts for each request anew.</param>
    /// <param name="logger">Where the steps are logged; null for nowhere.</param>
    /// <param name="cancellationToken">Breaks the attempt off.</param>
    /// <returns>Size of the export in bytes.</returns>
    /// <exception cref="NbdException">No connection, no such context, an error of the server.</exception>
    public static Task<long> MapAsync(
        NbdTarget target,
        string exportName,
        string context,
        Action<NbdMapExtent> onExtent,
        NbdProbeOptions? options = null,
        ILogger? logger = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(onExtent);
        if (!NbdMetaContextNames.IsValid(context))
        {
            throw new NbdException(
                $"\"{NbdText.Sanitize(context, 256)}\" is no name of a metadata context: it has a namespace and a colon, as base:allocation");
        }

        return RunAsync(
            target,
            exportName,
            [context],
            connection => new NbdMapReader(connection, context, onExtent).Run(),
            options,
            logger,
            cancellationToken);
    }

    /// <summary>Reads the first bytes of an export.</summary>
    /// <param name="target">The server.</param>
    /// <param name="exportName">The export; empty is the default one.</param>
    /// <param name="maximum">How many bytes at most, 1 to 1 MiB; fewer come when the export is shorter.</param>
    /// <param name="options">Deadlines and limits; null for the defaults.</param>
    /// <param name="logger">Where the steps are logged; null for nowhere.</param>
    /// <param name="cancellationToken">Breaks the attempt off.</param>
    /// <exception cref="NbdException">No connection, an error of the server.</exception>
    public static Task<byte[]> ReadStartAsync(
        NbdTarget target,
        string exportName,
        int maximum,
        NbdProbeOptions? options = null,
        ILogger? logger = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maximum, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(maximum, 1 << 20);
        return RunAsync(target, exportName, [], connection => connection.ReadStart(maximum), options, logger, cancellationToken);
    }

    private static async Task<T> RunAsync<T>(
        NbdTarget target,
        string exportName,
        IReadOnlyList<string> contexts,
        Func<NbdQueryConnection, T> work,
        NbdProbeOptions? options,
        ILogger? logger,
        CancellationToken cancellationToken)
    {
        options ??= new NbdProbeOptions();
        logger ??= NullLogger.Instance;
        NbdTransport transport = NbdTransport.Create(target, options.Transport, logger);
        await using (transport.ConfigureAwait(false))
        {
            NbdHandshakeOptions handshake = options.Handshake with
            {
                ExportName = exportName,
                Goal = NbdHandshakeGoal.Go,
                WantExtendedHeaders = options.Handshake.WantStructuredReplies,
                MetaContexts = contexts,
                ListMetaContexts = false,
            };
            NegotiatedSocket opened = await transport.OpenAsync(handshake, cancellationToken).ConfigureAwait(false);
            using FileDescriptor socket = opened.Socket;
            return await BlockingWork.RunAsync(
                () =>
                {
                    using var connection = new NbdQueryConnection(opened, handshake.Timeout, cancellationToken);
                    T result = work(connection);
                    connection.Disconnect(logger);
                    return result;
                },
                cancellationToken).ConfigureAwait(false);
        }
    }
}
