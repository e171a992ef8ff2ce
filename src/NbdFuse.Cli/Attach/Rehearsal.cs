using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Attach.Control;
using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.Server;

namespace NbdFuse.Cli;

/// <summary>
/// Goes once through what a daemon may have to do later, with a server of its own: every kind of request, the loss of the server
/// and its return, every message, every answer of the control socket. The little code that is not precompiled is compiled by that, before somebody
/// depends on the device: later the compiler would need memory when there may be none, and files that may hang.
/// </summary>
internal static class Rehearsal
{
    private const int Size = 1 << 20;

    // The runtime makes a path faster after the first passages of a socket or a serializer, and compiles for it.
    private const int Passages = 4;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Rehearses. What goes wrong costs the rehearsal, not the device.</summary>
    /// <param name="entry">The daemon's directory; its control socket is listening.</param>
    /// <param name="options">How much is logged: messages that are not wanted are not rehearsed.</param>
    public static async Task RunAsync(AttachEntry entry, CommandLogOptions options)
    {
        using AttachLogging muted = AttachLogging.CreateMuted(options);
        using ILoggerFactory loggers = muted.Factory(AttachLogging.LevelOf(options.Verbosity));
        ILogger logger = loggers.CreateLogger(ErrorText.Program);
        Speak(logger);
        Rethrow();
        foreach (Type type in new[] { typeof(NbdExport), typeof(ControlServer), typeof(NbdServer) })
        {
            AsyncPreparation.Run(type.Assembly);
        }

        AsyncPreparation.PrepareForCollections();
        try
        {
            await AnswerAsync(entry).ConfigureAwait(false);
            await ServeAsync(entry.RehearsalPath, loggers).WaitAsync(Patience).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or NbdException or SocketException or TimeoutException)
        {
            AttachLog.RehearsalFailed(logger, ErrorText.OneLine(e.Message));
        }
    }

    private static void Speak(ILogger logger)
    {
        AttachLog.SignalIgnored(logger, TerminationSignals.NameOf(2), nameof(Rehearsal));
        AttachLog.ServerLost(logger, nameof(Rehearsal), nameof(Rehearsal));
        AttachLog.Detached(logger, nameof(Rehearsal), nameof(Rehearsal));
        AttachLog.Warning(logger, new DeviceBusyException(nameof(Rehearsal), []).Message);
    }

    // The runtime's own code for it is compiled at its first use, which would be the first connection that is refused.
    private static void Rethrow()
    {
        try
        {
            try
            {
                throw new TimeoutException(nameof(Rehearsal));
            }
            catch
            {
                throw;
            }
        }
        catch (TimeoutException)
        {
            // As it should be.
        }
    }

    private static async Task AnswerAsync(AttachEntry entry)
    {
        for (int passage = 0; passage < Passages; passage++)
        {
            await ControlClient.AskAsync(entry.SocketPath, new ControlRequest { Request = ControlRequest.Status }, Patience).ConfigureAwait(false);
        }

        await ControlClient.AskAsync(entry.SocketPath, new ControlRequest { Request = nameof(Rehearsal) }, Patience).ConfigureAwait(false);
    }

    private static async Task ServeAsync(string path, ILoggerFactory loggers)
    {
        using var memory = new MemoryExport(Size);
        await LoseAsync(path, memory, Timeout.InfiniteTimeSpan, loggers).ConfigureAwait(false);
        await LoseAsync(path, memory, TimeSpan.Zero, loggers).ConfigureAwait(false);
    }

    /// <summary>Serves requests of all kinds, and loses the server.</summary>
    /// <param name="path">Where the server is.</param>
    /// <param name="memory">Its disk.</param>
    /// <param name="reconnectTimeout">Zero: requests fail then. Otherwise the server comes back, and gets a write again.</param>
    /// <param name="loggers">The log.</param>
    private static async Task LoseAsync(string path, MemoryExport memory, TimeSpan reconnectTimeout, ILoggerFactory loggers)
    {
        NbdServer? server = await StartAsync(path, memory).ConfigureAwait(false);
        RehearsedExport? rehearsed = null;
        try
        {
            var options = new NbdExportOptions
            {
                Connections = 1,
                Movers = 0,
                ReconnectTimeout = reconnectTimeout,

                // Each form of the protocol once.
                ExtendedHeaders = reconnectTimeout == TimeSpan.Zero,
            };
            NbdExport export = await NbdExport.OpenAsync(new UnixTarget(path), options, loggers.CreateLogger("nbd")).ConfigureAwait(false);
            rehearsed = new RehearsedExport(export);
            foreach (BlockOperation operation in Enum.GetValues<BlockOperation>())
            {
                await rehearsed.RunAsync(operation).ConfigureAwait(false);
            }

            await rehearsed.RunAsync(BlockOperation.Write).ConfigureAwait(false);
            await server.DisposeAsync().ConfigureAwait(false);
            server = null;
            if (reconnectTimeout != TimeSpan.Zero)
            {
                server = await StartAsync(path, memory).ConfigureAwait(false);
            }

            await rehearsed.RunAsync(BlockOperation.Write).ConfigureAwait(false);
            await rehearsed.RunAsync(BlockOperation.Read).ConfigureAwait(false);
            await rehearsed.RunAsync(BlockOperation.Flush).ConfigureAwait(false);
        }
        finally
        {
            if (rehearsed is not null)
            {
                await rehearsed.DisposeAsync().ConfigureAwait(false);
            }

            if (server is not null)
            {
                await server.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    private static async Task<NbdServer> StartAsync(string path, MemoryExport memory)
    {
        var server = new NbdServer(new NbdServerOptions { Exports = [new NbdServerExport { Backend = memory }] });
        try
        {
            await server.StartAsync(new UnixDomainSocketEndPoint(path)).ConfigureAwait(false);
        }
        catch
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw;
        }

        return server;
    }
}
