using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Client;

namespace NbdFuse.Cli;

/// <summary>The process that serves an attached device under a keeper.</summary>
internal static class KeptDevice
{
    /// <summary>Runs.</summary>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="entry">The daemon's directory.</param>
    /// <param name="log">How much is logged.</param>
    /// <returns>Exit code.</returns>
    public static async Task<int> RunAsync(AttachArguments arguments, AttachEntry entry, CommandLogOptions log)
    {
        using KeeperLink link = KeeperLink.Open(pidFile: null);
        using AttachLogging logging = arguments.Foreground ? AttachLogging.ToStandardError(log) : AttachLogging.ToFile(entry.LogPath, log);
        using ILoggerFactory loggers = arguments.Foreground
            ? AttachCommand.ForegroundLoggers(logging, log)
            : logging.Factory(AttachLogging.LevelOf(log.Verbosity));
        ILogger logger = loggers.CreateLogger(ErrorText.Program);
        bool isUsable = link.WasUsable;
        await using var service = new AttachService(state => link.Notify(state, logger));
        try
        {
            if (!link.IsResuming)
            {
                service.Connecting(NbdTarget.FromUri(arguments.Uri));
            }

            using var daemon = new AttachDaemon(arguments, entry, loggers, log, link);
            link.Start();
            int code = await daemon.RunAsync(device =>
            {
                logging.Flush();
                isUsable = true;
                link.Usable(device, logger);
                service.Usable(device, daemon.Driver!.Export);
                return !link.Lost.IsCompleted;
            }).ConfigureAwait(false);
            if (code != KeeperLink.HandOverCode)
            {
                service.Stopping();
            }

            link.End(code);
            return code;
        }
        catch (Exception e)
        {
            link.End(e);
            string lines = ErrorText.Describe(e, log.Debug);
            if (arguments.Foreground)
            {
                logging.Flush();
                await Console.Error.WriteAsync(ErrorText.ForStandardError(lines, ErrorText.FatalLevel)).ConfigureAwait(false);
                return MountCommand.Failed;
            }

            if (isUsable)
            {
                // Nobody is there any more to hear it.
                AttachLog.Failed(logger, e.Message, e);
            }

            logging.Flush();
            link.Explain(lines);
            return MountCommand.Failed;
        }
    }
}
