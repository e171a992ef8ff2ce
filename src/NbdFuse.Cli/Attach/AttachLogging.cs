using System.Globalization;
using Microsoft.Extensions.Logging;

namespace NbdFuse.Cli;

/// <summary>
/// The log of a process that serves a device. Nobody who logs waits: lines go into a bounded queue, and one thread writes them
/// to a sink; what finds the queue full is dropped and counted.
/// </summary>
/// <remarks>
/// Own code rather than the console logger: its file must be bounded, and the whole way of a message must be rehearsed without a
/// line being written (<see cref="CreateMuted"/>), since each message is compiled for its own type.
/// </remarks>
internal sealed class AttachLogging : ILoggerProvider
{
    private const int QueueLength = 1024;

    // Date, time and a space: what StripTime takes away.
    private const string TimeFormat = "yyyy-MM-dd'T'HH:mm:ss'Z '";
    private const int TimeLength = 21;

    private readonly AttachLogWriter? _writer;
    private readonly CommandLogOptions _options;
    private readonly Func<LogLevel, string, string> _line;

    private AttachLogging(AttachLogWriter? writer, CommandLogOptions options, Func<LogLevel, string, string> line)
    {
        _writer = writer;
        _options = options;
        _line = line;
    }

    /// <summary>The journal reads this log.</summary>
    public bool IsJournal => _line == Journal;

    /// <summary>A log in a file of bounded size, each line with the time.</summary>
    /// <param name="path">The file; its predecessor is kept beside it, with .old behind the name.</param>
    /// <param name="options">How much is logged.</param>
    public static AttachLogging ToFile(string path, CommandLogOptions options) => new(
        new AttachLogWriter(new AttachLogFile(path).Write, QueueLength),
        options,
        (level, text) => DateTime.UtcNow.ToString(TimeFormat, CultureInfo.InvariantCulture) + Plain(level, text));

    /// <summary>A log on standard error, in the journal's form when that is what it is.</summary>
    /// <param name="options">How much is logged.</param>
    public static AttachLogging ToStandardError(CommandLogOptions options)
    {
        bool journal = CommandLogging.IsJournal(Environment.GetEnvironmentVariable("JOURNAL_STREAM"));
        Stream error = Console.OpenStandardError();
        return new AttachLogging(
            new AttachLogWriter(error.Write, QueueLength), options, journal ? Journal : Plain);
    }

    /// <summary>The same, without a sink.</summary>
    /// <param name="options">How much is logged.</param>
    public static AttachLogging CreateMuted(CommandLogOptions options) => new(null, options, Plain);

    /// <summary>Lowest level that is logged to a file.</summary>
    /// <param name="verbosity">What the user wants.</param>
    public static LogLevel LevelOf(LogVerbosity verbosity) =>
        verbosity == LogVerbosity.Verbose ? LogLevel.Debug : LogLevel.Information;

    /// <summary>Lines of a log file as the user shall see them who waits for the device.</summary>
    /// <param name="log">Content of the file.</param>
    /// <param name="all">False: without what is no warning and no error.</param>
    public static string ForTerminal(string log, bool all)
    {
        string information = $"{ErrorText.Program}: ";
        return string.Concat(log
            .Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => line.Length > TimeLength && line[TimeLength - 2] == 'Z' ? line[TimeLength..] : line)
            .Where(line => all || !line.StartsWith(information, StringComparison.Ordinal)
                || line.StartsWith(information + "warning: ", StringComparison.Ordinal)
                || line.StartsWith(information + "error: ", StringComparison.Ordinal))
            .Select(line => line + "\n"));
    }

    /// <summary>A factory for loggers of this log.</summary>
    /// <param name="minimum">Lowest level that is logged.</param>
    /// <remarks>Without a builder, which would compose two objects by a container of dependencies.</remarks>
    public ILoggerFactory Factory(LogLevel minimum) => new LoggerFactory([this], new LoggerFilterOptions { MinLevel = minimum });

    /// <summary>Waits until all that was logged so far is written, for a while.</summary>
    public void Flush() => _writer?.Flush();

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => new Logger(this);

    /// <inheritdoc/>
    public void Dispose() => _writer?.Dispose();

    private static string Plain(LogLevel level, string text) => $"{ErrorText.Program}: {Word(level)}{text}\n";

    // Levels of syslog(3) in front of a line, as sd-daemon(3) has them.
    private static string Journal(LogLevel level, string text) => level switch
    {
        LogLevel.Critical or LogLevel.Error => $"<3>{text}\n",
        LogLevel.Warning => $"<4>{text}\n",
        LogLevel.Information => $"<6>{text}\n",
        _ => $"<7>{text}\n",
    };

    private static string Word(LogLevel level) => level switch
    {
        LogLevel.Trace => "trace: ",
        LogLevel.Debug => "debug: ",
        LogLevel.Warning => "warning: ",
        LogLevel.Error or LogLevel.Critical => "error: ",
        _ => string.Empty,
    };

    private sealed class Logger(AttachLogging log) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            string text = ErrorText.OneLine(formatter(state, exception));
            if (exception is not null)
            {
                text += log._options.Debug ? $"\n{exception}" : $": {ErrorText.OneLine(exception.Message)}";
            }

            log._writer?.Write(log._line(logLevel, text));
        }
    }
}
