using NbdFuse.Protocol;

namespace NbdFuse.Boot;

/// <summary>A boot argument cannot be understood. The message names it; it is one line for the console.</summary>
/// <param name="message">The message.</param>
public sealed class BootArgumentException(string message) : NbdException(message)
{
    private const int MaximumQuote = 200;

    /// <summary>Text of the user's for a message: no control characters, not too long.</summary>
    /// <param name="text">The text.</param>
    internal static string Quote(string text) => NbdText.Sanitize(text, MaximumQuote);
}
