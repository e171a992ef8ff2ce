namespace NbdFuse.Cli;

/// <summary>The command line is wrong.</summary>
/// <param name="message">What is wrong: one line, without the program's name. Empty when the usage says it all.</param>
/// <param name="showUsage">Whether the usage follows the message.</param>
internal sealed class UsageException(string message = "", bool showUsage = true) : Exception(message)
{
    /// <summary>Whether the usage follows the message.</summary>
    public bool ShowUsage { get; } = showUsage;
}
