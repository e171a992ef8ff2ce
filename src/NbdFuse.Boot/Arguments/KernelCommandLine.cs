namespace NbdFuse.Boot;

/// <summary>Splits the kernel's command line into parameters, by the kernel's own rules (next_arg in lib/cmdline.c).</summary>
public static class KernelCommandLine
{
    /// <summary>Longest command line that is looked at, in UTF-16 units; the kernel's own limit is 2048 to 4096 bytes.</summary>
    public const int MaximumLength = 16 * 1024;

    /// <summary>
    /// Splits at white space that no double quote protects. Quotes around a whole parameter or around a whole value are removed,
    /// others stay; there is no escape character. What follows a lone <c>--</c> belongs to init.
    /// </summary>
    /// <param name="text">Content of /proc/cmdline.</param>
    /// <returns>Names, with their values; null for a parameter without <c>=</c>.</returns>
    public static IReadOnlyList<(string Name, string? Value)> Split(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        List<(string Name, string? Value)> result = [];
        int end = Math.Min(text.Length, MaximumLength);
        int at = 0;
        while (at < end)
        {
            if (IsSpace(text[at]))
            {
                at++;
                continue;
            }

            string word = NextWord(text.AsSpan(at, end - at));
            at += word.Length;
            if (word == "--")
            {
                break;
            }

            result.Add(Separate(word));
        }

        return result;
    }

    private static bool IsSpace(char c) => char.IsWhiteSpace(c) || c == '\0';

    private static string NextWord(ReadOnlySpan<char> text)
    {
        bool quoted = false;
        int length = 0;
        while (length < text.Length && (quoted || !IsSpace(text[length])))
        {
            quoted ^= text[length] == '"';
            length++;
        }

        return text[..length].ToString();
    }

    private static (string Name, string? Value) Separate(string word)
    {
        // A quote that begins the parameter ends it, and one that begins the value ends the value.
        string inner = word.StartsWith('"') ? Unquote(word) : word;
        int equals = inner.IndexOf('=', StringComparison.Ordinal);
        return equals < 0
            ? (inner, null)
            : (inner[..equals], inner[(equals + 1)..].StartsWith('"') ? Unquote(inner[(equals + 1)..]) : inner[(equals + 1)..]);
    }

    private static string Unquote(string text) =>
        text.Length > 1 && text.EndsWith('"') ? text[1..^1] : text[1..];
}
