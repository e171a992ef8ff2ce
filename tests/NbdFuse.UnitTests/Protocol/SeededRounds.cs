using System.Globalization;
using Xunit;

namespace NbdFuse.UnitTests.Protocol;

/// <summary>Runs a property over random input; a failure names the seed that repeats it (NBDFUSE_TEST_SEED).</summary>
internal static class SeededRounds
{
    public static void Run(int rounds, Action<Random> property)
    {
        string? wanted = Environment.GetEnvironmentVariable("NBDFUSE_TEST_SEED");
        int seed = wanted is null ? Random.Shared.Next() : int.Parse(wanted, CultureInfo.InvariantCulture);
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        var random = new Random(seed);
        for (int round = 0; round < rounds; round++)
        {
            try
            {
                property(random);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"NBDFUSE_TEST_SEED={seed} fails in round {round}: {e.Message}", e);
            }
        }
    }

    public static ulong NextUInt64(this Random random)
    {
        Span<byte> bytes = stackalloc byte[8];
        random.NextBytes(bytes);
        return BitConverter.ToUInt64(bytes);
    }

    public static uint NextUInt32(this Random random) => (uint)random.NextUInt64();

    public static ushort NextUInt16(this Random random) => (ushort)random.NextUInt64();

    public static byte[] NextByteArray(this Random random, int maxLength)
    {
        byte[] bytes = new byte[random.Next(maxLength + 1)];
        random.NextBytes(bytes);
        return bytes;
    }

    /// <summary>Text of whole characters without NUL, from all planes, and mostly of ones that mean something in a URI.</summary>
    public static string NextText(this Random random, int maxRunes)
    {
        const string Interesting = "%/?#&;=@:[] +\"\\<>{}~ab0";
        string text = string.Empty;
        for (int i = random.Next(maxRunes + 1); i > 0; i--)
        {
            int value = random.Next(3) switch
            {
                0 => Interesting[random.Next(Interesting.Length)],
                1 => random.Next(1, 0xd800),
                _ => random.Next(0xe000, 0x110000),
            };
            text += char.ConvertFromUtf32(value);
        }

        return text;
    }
}
