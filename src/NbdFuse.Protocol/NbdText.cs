using System.Text;
using System.Text.Unicode;

namespace NbdFuse.Protocol;

/// <summary>Strings from and for the wire: UTF-8, no NUL, at most 4096 bytes (proto.md, "Conventions").</summary>
public static class NbdText
{
    /// <summary>
    /// Makes text of the peer fit for a terminal and a log: invalid UTF-8 is replaced, and everything is removed that could
    /// move the cursor, colour the screen, fake a line or reorder what is read (C0, DEL, C1, line and paragraph
    /// separators, bidirectional controls).
    /// </summary>
    /// <param name="utf8">Text as received.</param>
    /// <param name="maxChars">Longest result in UTF-16 units; a surrogate pair is never cut.</param>
    public static string Sanitize(ReadOnlySpan<byte> utf8, int maxChars)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxChars);
        var result = new StringBuilder(Math.Min(utf8.Length, maxChars));
        while (!utf8.IsEmpty)
        {
            // An invalid sequence comes back as the replacement character.
            _ = Rune.DecodeFromUtf8(utf8, out Rune rune, out int consumed);
            utf8 = utf8[consumed..];
            if (!TryAppend(result, rune, maxChars))
            {
                break;
            }
        }

        return result.ToString();
    }

    /// <summary>The same for text that has been decoded already, such as an export name in a message.</summary>
    /// <param name="text">Text that may hold anything.</param>
    /// <param name="maxChars">Longest result in UTF-16 units; a surrogate pair is never cut.</param>
    public static string Sanitize(string text, int maxChars)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentOutOfRangeException.ThrowIfNegative(maxChars);
        var result = new StringBuilder(Math.Min(text.Length, maxChars));
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (!TryAppend(result, rune, maxChars))
            {
                break;
            }
        }

        return result.ToString();
    }

    /// <summary>Whether a name can be sent: no NUL, whole characters only, at most 4096 bytes of UTF-8.</summary>
    /// <param name="name">An export name; empty is the default export.</param>
    /// <param name="error">Why not, as a clause for a message, or null.</param>
    public static bool IsValidExportName(string name, out string? error)
    {
        ArgumentNullException.ThrowIfNull(name);
        error = null;
        if (name.Contains('\0', StringComparison.Ordinal))
        {
            error = "the export name holds a NUL character";
        }
        else if (HasLoneSurrogate(name))
        {
            error = "the export name holds half a surrogate pair, which UTF-8 cannot express";
        }
        else if (Encoding.UTF8.GetByteCount(name) is int bytes && bytes > NbdLimits.MaxStringBytes)
        {
            error = $"the export name has {bytes} bytes, {NbdLimits.MaxStringBytes} are allowed";
        }

        return error is null;
    }

    /// <summary>
    /// Reads a string strictly, for names that must be sent back byte for byte: a replaced character would name another
    /// export.
    /// </summary>
    /// <returns>False when the bytes are no legal string of the protocol.</returns>
    public static bool TryDecode(ReadOnlySpan<byte> utf8, out string text)
    {
        bool valid = utf8.Length <= NbdLimits.MaxStringBytes && !utf8.Contains((byte)0) && Utf8.IsValid(utf8);
        text = valid ? Encoding.UTF8.GetString(utf8) : string.Empty;
        return valid;
    }

    /// <summary>Whether text holds half a surrogate pair, which would be sent as another character.</summary>
    internal static bool HasLoneSurrogate(string text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i]))
            {
                continue;
            }

            if (i + 1 == text.Length || !char.IsSurrogatePair(text[i], text[i + 1]))
            {
                return true;
            }

            i++;
        }

        return false;
    }

    private static bool TryAppend(StringBuilder result, Rune rune, int maxChars)
    {
        if (IsUnsafe(rune.Value))
        {
            return true;
        }

        if (result.Length + rune.Utf16SequenceLength > maxChars)
        {
            return false;
        }

        Span<char> chars = stackalloc char[2];
        result.Append(chars[..rune.EncodeToUtf16(chars)]);
        return true;
    }

    private static bool IsUnsafe(int value) => value
        is < 0x20 // C0
        or (>= 0x7f and <= 0x9f) // DEL and C1
        or 0x061c or 0x200e or 0x200f // bidirectional marks
        or 0x2028 or 0x2029 // line and paragraph separator
        or (>= 0x202a and <= 0x202e) // bidirectional embeddings and overrides
        or (>= 0x2066 and <= 0x2069); // bidirectional isolates
}
