using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace NbdFuse.Protocol;

/// <summary>Percent escapes of a URI (RFC 3986, section 2.1) and quotations of it in messages.</summary>
internal static class NbdUriEscape
{
    private const int MaxQuotedChars = 120;

    /// <summary>Undoes the escapes. A plus sign is a plus sign: this is no HTML form.</summary>
    /// <param name="text">Part of a URI.</param>
    /// <param name="what">The part's name in messages, as "the export name".</param>
    /// <exception cref="NbdUriException">A bad escape, or bytes that are not UTF-8.</exception>
    public static string Decode(string text, string what)
    {
        if (!text.Contains('%', StringComparison.Ordinal))
        {
            return text;
        }

        ReadOnlySpan<byte> source = Encoding.UTF8.GetBytes(text);
        var bytes = new List<byte>(source.Length);
        for (int i = 0; i < source.Length; i++)
        {
            if (source[i] != '%')
            {
                bytes.Add(source[i]);
                continue;
            }

            if (source.Length - i < 3
                || !char.IsAsciiHexDigit((char)source[i + 1])
                || !char.IsAsciiHexDigit((char)source[i + 2]))
            {
                string escape = Encoding.UTF8.GetString(source.Slice(i, Math.Min(3, source.Length - i)));
                throw new NbdUriException(
                    $"{what} in the NBD URI holds {Quote(escape)}, which is no percent escape; write %25 for a percent sign");
            }

            bytes.Add(byte.Parse(source.Slice(i + 1, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture));
            i += 2;
        }

        byte[] decoded = bytes.ToArray();
        return Utf8.IsValid(decoded)
            ? Encoding.UTF8.GetString(decoded)
            : throw new NbdUriException(
                $"{what} in the NBD URI is not UTF-8 after its percent escapes are decoded; escape each byte of the UTF-8 form");
    }

    /// <summary>Appends text with everything escaped but unreserved characters and, when asked, slashes.</summary>
    public static StringBuilder Append(StringBuilder result, string text, bool keepSlash)
    {
        foreach (byte value in Encoding.UTF8.GetBytes(text))
        {
            char c = (char)value;
            if (char.IsAsciiLetterOrDigit(c) || c is '-' or '.' or '_' or '~' || (keepSlash && c == '/'))
            {
                result.Append(c);
            }
            else
            {
                result.Append('%').Append(value.ToString("X2", CultureInfo.InvariantCulture));
            }
        }

        return result;
    }

    /// <summary>Quotes what the user typed for a message of one line.</summary>
    public static string Quote(string text) => '"' + NbdText.Sanitize(text, MaxQuotedChars) + '"';
}
