using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.TestKit;

namespace NbdFuse.Fuzz.Targets;

/// <summary>A file of pre-shared keys: one is found, or one line says why not; no line of an error ever quotes a key.</summary>
internal sealed class PskTarget : IFuzzTarget
{
    /// <summary>Hexadecimal digits in a row that may be chance in a message.</summary>
    private const int MostDigits = 11;

    private readonly TempDirectory _directory = new();

    public string Name => "psk";

    public IEnumerable<byte[]> Seeds => new[]
    {
        "alice:0123456789abcdef0123456789abcdef\nbob:00112233445566778899aabbccddeeff\n", "# made by psktool\r\nalice:0123456789abcdef0123456789abcdef\r\n",
        "a:b:c:00ff", "alice:0123456789abcdef0123456789abcde\n", "0123456789abcdef0123456789abcdef\n", $"alice:{new string('a', 1024)}\n", "\u00e4\u00f6:aa\n\nalice\n",
        "alice:0123456789abcdef 0123456789abcdef\n", "\n", $"{new string('u', 256)}:00\n",
    }.Select(Encoding.UTF8.GetBytes);

    public void Run(byte[] input)
    {
        foreach (string? user in (string?[])[null, "alice", "b:c"])
        {
            bool isFound = PskFile.TryFind(input, user, out string? name, out byte[]? key, out string? error);
            if (isFound ? key is not { Length: > 0 and <= TlsContext.MaximumKeyBytes } || (user is not null && name != user) : key is not null)
            {
                throw new FuzzFailureException("a key was found that is none");
            }

            CheckIsSecret(error);
        }

        string path = _directory["keys.psk"];
        File.WriteAllBytes(path, input);
        try
        {
            using TlsContext context = TlsCredentials.Load(
                new NbdTlsOptions { Mode = NbdTlsMode.Require, PskFile = path, UserName = input.Length % 2 == 0 ? "alice" : null }, "host", NullLogger.Instance, out _, out _);
        }
        catch (NbdException error)
        {
            FuzzFiles.RequireOneLine(error);
            CheckIsSecret(error.Message.Replace(path, string.Empty, StringComparison.Ordinal));
        }
    }

    public void Dispose() => _directory.Dispose();

    private static void CheckIsSecret(string? error)
    {
        int digits = 0;
        foreach (char letter in error ?? string.Empty)
        {
            digits = char.IsAsciiHexDigit(letter) ? digits + 1 : 0;
            if (digits > MostDigits)
            {
                throw new FuzzFailureException($"this may be a key: {error}");
            }
        }
    }
}
