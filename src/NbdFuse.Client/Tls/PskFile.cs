using System.Diagnostics.CodeAnalysis;
using System.Text;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Reads files of pre-shared keys as psktool of GnuTLS writes them: lines <c>user:hexkey</c>. Errors never quote a key.</summary>
internal static class PskFile
{
    /// <summary>The largest file that is read, in bytes.</summary>
    public const int MaximumBytes = 1 << 20;

    /// <summary>Finds a user's key.</summary>
    /// <param name="content">The file.</param>
    /// <param name="user">The user, or null for the only one in the file.</param>
    /// <param name="found">Whose key it is.</param>
    /// <param name="key">The key, 1 to 512 bytes.</param>
    /// <param name="error">What is wrong, as the end of a sentence that begins with the file's name.</param>
    public static bool TryFind(
        ReadOnlySpan<byte> content,
        string? user,
        [NotNullWhen(true)] out string? found,
        [NotNullWhen(true)] out byte[]? key,
        [NotNullWhen(false)] out string? error)
    {
        found = null;
        key = null;
        error = null;
        byte[]? wanted = user is null ? null : Encoding.UTF8.GetBytes(user);
        int number = 0;
        int users = 0;
        while (!content.IsEmpty)
        {
            int end = content.IndexOf((byte)'\n');
            ReadOnlySpan<byte> line = Trim(end < 0 ? content : content[..end]);
            content = end < 0 ? [] : content[(end + 1)..];
            number++;
            if (line.IsEmpty || line[0] == '#')
            {
                continue;
            }

            // The last colon: a key has none, and a name may have some.
            int colon = line.LastIndexOf((byte)':');
            ReadOnlySpan<byte> name = colon < 0 ? line : line[..colon];
            users++;
            if (wanted is not null && !name.SequenceEqual(wanted))
            {
                continue;
            }

            if (wanted is null && users > 1)
            {
                error = "has the keys of several users; say which one by tls-username=NAME";
                break;
            }

            if (!TryRead(line, colon, out found, out key, out string? reason))
            {
                error = $"line {number}: {reason}";
                break;
            }

            if (wanted is not null)
            {
                return true;
            }
        }

        if (error is null && key is null)
        {
            error = users == 0
                ? "holds no key; it needs a line USER:HEXKEY, as psktool makes it"
                : $"has no key of the user \"{NbdText.Sanitize(user!, TlsContext.MaximumIdentityBytes)}\"; say whose key it is by tls-username=NAME";
        }

        if (error is not null)
        {
            found = null;
            key = null;
        }

        return key is not null && found is not null;
    }

    private static ReadOnlySpan<byte> Trim(ReadOnlySpan<byte> line) => line.Trim(" \t\r"u8);

    private static bool TryRead(
        ReadOnlySpan<byte> line,
        int colon,
        [NotNullWhen(true)] out string? name,
        [NotNullWhen(true)] out byte[]? key,
        [NotNullWhen(false)] out string? error)
    {
        name = null;
        key = null;
        ReadOnlySpan<byte> digits = colon < 0 ? [] : line[(colon + 1)..];
        if (colon <= 0)
        {
            error = "it is not USER:HEXKEY";
        }
        else if (colon > TlsContext.MaximumIdentityBytes || !System.Text.Unicode.Utf8.IsValid(line[..colon]) || line[..colon].Contains((byte)0))
        {
            error = $"the user name is longer than {TlsContext.MaximumIdentityBytes} bytes, or not UTF-8";
        }
        else if (digits.IsEmpty || digits.Length % 2 != 0 || digits.Length / 2 > TlsContext.MaximumKeyBytes)
        {
            error = $"the key must be an even number of hexadecimal digits, at most {2 * TlsContext.MaximumKeyBytes}";
        }
        else
        {
            byte[] bytes = new byte[digits.Length / 2];
            if (Convert.FromHexString(digits, bytes, out _, out int written) != System.Buffers.OperationStatus.Done || written != bytes.Length)
            {
                error = "the key holds something that is no hexadecimal digit";
                return false;
            }

            name = Encoding.UTF8.GetString(line[..colon]);
            key = bytes;
            error = null;
            return true;
        }

        return false;
    }
}
