using Microsoft.Extensions.Logging;
using NbdFuse.Attach;

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
        using AttachLogging logging = AttachLogging.ToFile(entry.LogPath, log);
        using ILoggerFactory loggers = logging.Factory(AttachLogging.LevelOf(log.Verbosity));
        try
        {
            using var daemon = new AttachDaemon(arguments, entry, loggers, log, link);
            link.Start();
            int code = await daemon.RunAsync(device =>
            {
                logging.Flush();
                link.Usable(device, loggers.CreateLogger(ErrorText.Program));
                return !link.Lost.IsCompleted;
            }).ConfigureAwait(false);
            link.End(code);
            return code;
        }
        catch (Exception e)
        {
            link.End(e);
            AttachLog.Failed(loggers.CreateLogger(ErrorText.Program), e.Message, e);
            logging.Flush();
            link.Explain(ErrorText.Describe(e, log.Debug));
            return MountCommand.Failed;
        }
    }
}
