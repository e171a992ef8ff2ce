using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace NbdFuse.Cli;

/// <summary>
/// Log lines for a terminal: <c>nbdfuse: warning: text</c>. With debug also the exception; one line otherwise.
/// </summary>
/// <param name="options">How much to show.</param>
internal sealed class CommandLogFormatter(CommandLogOptions options) : ConsoleFormatter(FormatterName)
{
    /// <summary>The name by which the console logger finds this formatter.</summary>
    public const string FormatterName = "nbdfuse";

    /// <inheritdoc/>
    public override void Write<TState>(
        in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        string message = logEntry.Formatter(logEntry.State, logEntry.Exception);
        textWriter.Write(ErrorText.Program);
        textWriter.Write(": ");
        textWriter.Write(logEntry.LogLevel switch
        {
            LogLevel.Trace => "trace: ",
            LogLevel.Debug => "debug: ",
            LogLevel.Warning => "warning: ",
            LogLevel.Error or LogLevel.Critical => "error: ",
            _ => string.Empty,
        });
        textWriter.Write(ErrorText.OneLine(message));
        if (logEntry.Exception is { } error)
        {
            textWriter.Write(options.Debug ? $"\n{error}" : $": {ErrorText.OneLine(error.Message)}");
        }

        textWriter.Write('\n');
    }
}
