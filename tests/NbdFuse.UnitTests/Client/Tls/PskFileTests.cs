using System.Text;
using NbdFuse.Client;
using Xunit;

namespace NbdFuse.UnitTests.Client.Tls;

/// <summary>Files of pre-shared keys.</summary>
public sealed class PskFileTests
{
    [Theory]
    [InlineData("alice:00ff", "alice", "00ff")]
    [InlineData("# keys\r\n\r\nbob:11\r\nalice:00FF\r\n", "alice", "00ff")]
    [InlineData("a:b:c:0102\n", "a:b:c", "0102")]
    [InlineData("  alice:aa  \nalice:bb\n", "alice", "aa")]
    [InlineData("only:abcd", null, "abcd")]
    public void Key_of_the_user_is_found(string text, string? user, string key)
    {
        Assert.True(PskFile.TryFind(Encoding.UTF8.GetBytes(text), user, out string? found, out byte[]? bytes, out string? error), error);
        Assert.Equal(user ?? "only", found);
        Assert.Equal(key, Convert.ToHexStringLower(bytes));
    }

    [Theory]
    [InlineData("", null, "USER:HEXKEY")]
    [InlineData("\n#alice:aa\n", "alice", "USER:HEXKEY")]
    [InlineData("bob:deadbeef", "alice", "no key of the user \"alice\"")]
    [InlineData("alice:aa\nbob:bb", null, "several users")]
    [InlineData("alice:", "alice", "hexadecimal")]
    [InlineData("alice:aab", "alice", "hexadecimal")]
    [InlineData("alice:deadbeefzz", "alice", "hexadecimal")]
    [InlineData("deadbeef", null, "USER:HEXKEY")]
    [InlineData(":deadbeef", null, "USER:HEXKEY")]
    public void Wrong_file_is_explained_without_a_word_of_the_key(string text, string? user, string expected)
    {
        Assert.False(PskFile.TryFind(Encoding.UTF8.GetBytes(text), user, out string? found, out byte[]? key, out string? error));
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.DoesNotContain("deadbeef", error, StringComparison.Ordinal);
        Assert.Null(found);
        Assert.Null(key);
    }

    [Fact]
    public void Names_and_keys_have_limits()
    {
        byte[] longKey = Encoding.ASCII.GetBytes("alice:" + new string('a', 1024));
        Assert.True(PskFile.TryFind(longKey, "alice", out _, out byte[]? key, out _));
        Assert.Equal(512, key.Length);
        Assert.False(PskFile.TryFind(Encoding.ASCII.GetBytes("alice:" + new string('a', 1026)), "alice", out _, out _, out _));
        string name = new('n', 255);
        Assert.True(PskFile.TryFind(Encoding.ASCII.GetBytes(name + ":aa"), name, out _, out _, out _));
        Assert.False(PskFile.TryFind(Encoding.ASCII.GetBytes(name + "n:aa"), name + "n", out _, out _, out _));
    }

    [Fact]
    public void Random_bytes_are_a_key_or_an_error()
    {
        var random = new Random(20260731);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] bytes = new byte[random.Next(64)];
            random.NextBytes(bytes);
            for (int at = 0; at < bytes.Length; at++)
            {
                bytes[at] = random.Next(4) == 0 ? bytes[at] : (byte)":\n#ab01 \r"[random.Next(9)];
            }

            bool isFound = PskFile.TryFind(bytes, random.Next(2) == 0 ? null : "ab", out string? user, out byte[]? key, out string? error);
            Assert.Equal(isFound, user is not null);
            Assert.Equal(isFound, key is { Length: > 0 and <= 32 });
            Assert.Equal(isFound, error is null);
        }
    }
}
