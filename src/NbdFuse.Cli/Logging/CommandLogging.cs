using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>
/// The log of the command: standard error only, since standard output belongs to what was asked for.
/// </summary>
/// <remarks>
/// THREADING: no logging call waits for standard error. A queue of bounded length stands before it; when a full pipe holds
/// its writer up, lines are dropped, counted, and the count is logged when it flows again.
/// </remarks>
internal static class CommandLogging
{
    private const int StandardError = 2;
    private const int QueueLength = 1024;

    /// <summary>Makes the log.</summary>
    /// <param name="options">How much the user wants to see.</param>
    public static ILoggerFactory Create(CommandLogOptions options)
    {
        bool journal = IsJournal(Environment.GetEnvironmentVariable("JOURNAL_STREAM"));
        return LoggerFactory.Create(builder =>
        {
            builder.SetMinimumLevel(options.Verbosity switch
            {
                LogVerbosity.Verbose => LogLevel.Debug,
                LogVerbosity.Quiet => LogLevel.Error,
                _ => journal ? LogLevel.Information : LogLevel.Warning,
            });
            builder.Services.AddSingleton<ConsoleFormatter>(new CommandLogFormatter(options));
            builder.AddConsole(console =>
            {
                console.FormatterName = journal ? ConsoleFormatterNames.Systemd : CommandLogFormatter.FormatterName;
                console.LogToStandardErrorThreshold = LogLevel.Trace;
                console.QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite;
                console.MaxQueueLength = QueueLength;
            });
        });
    }

    /// <summary>Whether standard error is the journal: then lines carry its levels instead of words.</summary>
    /// <param name="journalStream">Value of JOURNAL_STREAM, device:inode, as systemd.exec(5) describes it.</param>
    internal static bool IsJournal(string? journalStream)
    {
        string[] parts = (journalStream ?? string.Empty).Split(':');
        return parts.Length == 2
            && ulong.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out ulong device)
            && ulong.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out ulong inode)
            && Posix.Fstat(StandardError, out FileStatus status) >= 0
            && status.Device == device
            && status.Inode == inode;
    }
}
