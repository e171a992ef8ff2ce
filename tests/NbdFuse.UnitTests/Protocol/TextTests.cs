using System.Text;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Protocol;

public class TextTests
{
    [Theory]
    [InlineData("", "")]
    [InlineData("plain text", "plain text")]
    [InlineData("grün 水 🙂", "grün 水 🙂")]
    [InlineData("a\0b\tc\nd\re", "abcde")]
    [InlineData("\u001b[31mred\u001b[0m", "[31mred[0m")]
    [InlineData("a\u007fb\u0080c\u009bd\u009fe\u00a0f", "abcde\u00a0f")]
    [InlineData("line\u2028paragraph\u2029end", "lineparagraphend")]
    [InlineData("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202ex\u2066\u2067\u2068\u2069", "x")]
    [InlineData("👩\u200d💻", "👩\u200d💻")] // the joiner of an emoji does no harm
    public void Sanitized_text_holds_nothing_that_moves_the_cursor(string text, string expected)
    {
        Assert.Equal(expected, NbdText.Sanitize(Encoding.UTF8.GetBytes(text), 100));
        Assert.Equal(expected, NbdText.Sanitize(text, 100));
    }

    [Theory]
    [InlineData("61ff62", "a\ufffdb")]
    [InlineData("61c3", "a\ufffd")] // a sequence that ends early
    [InlineData("c080", "\ufffd\ufffd")] // NUL in two bytes
    [InlineData("eda080", "\ufffd\ufffd\ufffd")] // a surrogate
    [InlineData("f4908080", "\ufffd\ufffd\ufffd\ufffd")] // beyond Unicode
    [InlineData("e2808b", "\u200b")]
    public void Sanitized_text_replaces_what_is_not_UTF8(string hex, string expected) =>
        Assert.Equal(expected, NbdText.Sanitize(GoldenFrame.Hex(hex), 100));

    [Theory]
    [InlineData("abcdef", 3, "abc")]
    [InlineData("abc", 3, "abc")]
    [InlineData("abc", 0, "")]
    [InlineData("a🙂b", 2, "a")] // a pair is not cut
    [InlineData("a🙂b", 3, "a🙂")]
    [InlineData("\n\n\nabc", 2, "ab")] // what is removed does not count
    public void Sanitized_text_is_bounded_and_never_cuts_a_pair(string text, int maxChars, string expected)
    {
        Assert.Equal(expected, NbdText.Sanitize(Encoding.UTF8.GetBytes(text), maxChars));
        Assert.Equal(expected, NbdText.Sanitize(text, maxChars));
    }

    [Fact]
    public void Sanitized_text_of_random_bytes_is_clean_and_bounded() => SeededRounds.Run(5_000, random =>
    {
        int maxChars = random.Next(40);
        string text = NbdText.Sanitize(random.NextByteArray(60), maxChars);
        Assert.InRange(text.Length, 0, maxChars);
        Assert.DoesNotContain(text, char.IsControl);
        Assert.Equal(text, Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)));
        Assert.Equal(text, NbdText.Sanitize(text, maxChars));
    });

    [Fact]
    public void Sanitize_refuses_a_negative_bound()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => NbdText.Sanitize("a"u8, -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => NbdText.Sanitize("a", -1));
    }

    [Fact]
    public void Export_name_is_bounded_in_bytes_not_characters()
    {
        Assert.True(NbdText.IsValidExportName(string.Empty, out string? error));
        Assert.Null(error);
        Assert.True(NbdText.IsValidExportName(new string('a', 4096), out _));
        Assert.True(NbdText.IsValidExportName(new string('ä', 2048), out _));
        Assert.False(NbdText.IsValidExportName(new string('a', 4097), out error));
        Assert.Contains("4097", error, StringComparison.Ordinal);
        Assert.False(NbdText.IsValidExportName(new string('ä', 2048) + "a", out _));
    }

    [Fact]
    public void Export_name_that_cannot_be_sent_is_refused_with_the_reason()
    {
        // No theory: attributes are stored as UTF-8, which has no half pairs.
        (string Name, string Reason)[] cases =
        [
            ("a\0b", "NUL"), ("\ud83d", "surrogate"), ("\ud83dx", "surrogate"), ("\ude42\ud83d", "surrogate"),
        ];
        foreach ((string name, string reason) in cases)
        {
            Assert.False(NbdText.IsValidExportName(name, out string? error));
            Assert.Contains(reason, error, StringComparison.Ordinal);
            Assert.Throws<ArgumentException>(() => NbdOptionData.ExportNameSize(name));
        }
    }

    [Theory]
    [InlineData("", true)]
    [InlineData("61c3a4", true)]
    [InlineData("610061", false)]
    [InlineData("ff", false)]
    [InlineData("c3", false)]
    public void Strict_reading_takes_legal_strings_only(string hex, bool legal) =>
        Assert.Equal(legal, NbdText.TryDecode(GoldenFrame.Hex(hex), out _));
}
