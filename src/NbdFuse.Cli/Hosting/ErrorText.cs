using System.Text;

namespace NbdFuse.Cli;

/// <summary>How errors reach the user: one line with cause and remedy; the stack only when asked for.</summary>
internal static class ErrorText
{
    /// <summary>Name of the program in front of messages.</summary>
    public const string Program = "nbdfuse";

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
