using System.Text;

namespace NbdFuse.Cli;

/// <summary>How errors reach the user: one line with cause and remedy; the stack only when asked for.</summary>
internal static class ErrorText
{
    /// <summary>Name of the program in front of messages.</summary>
    public const string Program = "nbdfuse";

    /// <summary>LOG_ERR of syslog(3): what ends the program with an error.</summary>
    public const int FatalLevel = 3;

    /// <summary>LOG_NOTICE of syslog(3): an end that was asked for by a signal.</summary>
    public const int NoticeLevel = 5;

    /// <summary>Describes an error.</summary>
    /// <param name="error">The error.</param>
    /// <param name="debug">Whether to add the whole exception with its stack.</param>
    /// <returns>Lines, each with a line feed.</returns>
    public static string Describe(Exception error, bool debug)
    {
        Exception cause = error is AggregateException { InnerException: { } inner } ? inner : error;
        var text = new StringBuilder();
        text.Append(Program).Append(": ").Append(OneLine(IsExpected(cause) ? cause.Message : Unexpected(cause))).Append('\n');
        if (debug)
        {
            text.Append(error).Append('\n');
        }

        return text.ToString();
    }

    /// <summary>Lines for standard error: under systemd with the level by which the journal sorts them (sd-daemon(3)).</summary>
    /// <param name="lines">Lines, each with a line feed.</param>
    /// <param name="level">Level of syslog: <see cref="FatalLevel"/> or <see cref="NoticeLevel"/>.</param>
    public static string ForStandardError(string lines, int level) =>
        CommandLogging.IsJournal(Environment.GetEnvironmentVariable("JOURNAL_STREAM")) ? WithLevel(lines, level) : lines;

    /// <summary>Puts a level in front of every line: the journal takes each for a message of its own.</summary>
    /// <param name="lines">Lines, each with a line feed.</param>
    /// <param name="level">Level of syslog, 0 to 7.</param>
    internal static string WithLevel(string lines, int level) =>
        string.Concat(lines.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => $"<{level}>{line}\n"));

    /// <summary>A message without line breaks and other control characters.</summary>
    /// <param name="message">The message.</param>
    public static string OneLine(string message)
    {
        var text = new StringBuilder(message.Length);
        bool space = false;
        foreach (char c in message)
        {
            if (char.IsWhiteSpace(c) || char.IsControl(c))
            {
                space = text.Length > 0;
                continue;
            }

            if (space)
            {
                text.Append(' ');
                space = false;
            }

            text.Append(c);
        }

        return text.ToString();
    }

    // The error types that say all themselves; anything else is a fault of this program.
    private static bool IsExpected(Exception error) => error
        is Protocol.NbdException
        or UsageException
        or IOException
        or UnauthorizedAccessException
        or System.Net.Sockets.SocketException;

    private static string Unexpected(Exception error) => error is OperationCanceledException
        ? "interrupted"
        : $"internal error: {error.GetType().Name}: {error.Message}; run again with --debug and report what it prints";
}
