using System.Globalization;

namespace NbdFuse.Cli;

/// <summary>Sizes as people write them.</summary>
internal static class SizeText
{
    private const string Suffixes = "BKMGTPE";

    /// <summary>
    /// Reads a number of bytes: digits, then nothing or one of B, K, M, G, T, P, E (powers of 1024, either case, also as KiB
    /// and KB).
    /// </summary>
    /// <param name="text">The text, such as <c>512M</c>.</param>
    /// <param name="bytes">The size in bytes, 0 to 2^63-1.</param>
    public static bool TryParse(string? text, out long bytes)
    {
        bytes = 0;
        if (string.IsNullOrEmpty(text))
        {
            return false;
        }

        int digits = 0;
        while (digits < text.Length && char.IsAsciiDigit(text[digits]))
        {
            digits++;
        }

        int power = PowerOf(text.AsSpan(digits));
        if (power < 0 || !long.TryParse(text.AsSpan(0, digits), NumberStyles.None, CultureInfo.InvariantCulture, out long number))
        {
            return false;
        }

        if (number > long.MaxValue >> (10 * power))
        {
            return false;
        }

        bytes = number << (10 * power);
        return true;
    }

    /// <summary>
    /// A size as nbdinfo shows it: in the largest unit of 1024 that leaves no remainder, such as 1M, or 1537K.
    /// </summary>
    /// <param name="bytes">The size in bytes.</param>
    public static string Exact(ulong bytes)
    {
        int power = 0;
        while (bytes != 0 && bytes % 1024 == 0 && power < Suffixes.Length - 1)
        {
            bytes /= 1024;
            power++;
        }

        return power == 0
            ? bytes.ToString(CultureInfo.InvariantCulture)
            : bytes.ToString(CultureInfo.InvariantCulture) + Suffixes[power];
    }

    private static int PowerOf(ReadOnlySpan<char> suffix)
    {
        if (suffix.IsEmpty)
        {
            return 0;
        }

        int power = Suffixes.IndexOf(char.ToUpperInvariant(suffix[0]), StringComparison.Ordinal);
        ReadOnlySpan<char> unit = suffix[1..];
        bool known = unit.IsEmpty
            || (power > 0 && (unit.Equals("iB", StringComparison.OrdinalIgnoreCase) || unit.Equals("B", StringComparison.OrdinalIgnoreCase)));
        return known ? power : -1;
    }
}
