using System.Buffers.Binary;
using Xunit;

namespace NbdFuse.TestKit;

/// <summary>
/// Data that depends on seed and absolute offset alone: whatever range is read back, what should be there is known, and
/// data that landed at another offset does not match.
/// </summary>
public static class PatternData
{
    /// <summary>Makes the data of a range.</summary>
    /// <param name="seed">Which of the patterns.</param>
    /// <param name="offset">First byte of the range, in bytes.</param>
    /// <param name="length">Length of the range, in bytes.</param>
    public static byte[] Create(ulong seed, long offset, int length)
    {
        byte[] data = new byte[length];
        Fill(data, seed, offset);
        return data;
    }

    /// <summary>Fills a buffer with the data of a range.</summary>
    /// <param name="destination">The buffer.</param>
    /// <param name="seed">Which of the patterns.</param>
    /// <param name="offset">First byte of the range, in bytes.</param>
    public static void Fill(Span<byte> destination, ulong seed, long offset)
    {
        Span<byte> word = stackalloc byte[8];
        int at = 0;
        while (at < destination.Length)
        {
            long position = offset + at;
            BinaryPrimitives.WriteUInt64LittleEndian(word, Mix(seed, (ulong)(position >> 3)));
            int skip = (int)(position & 7);
            int count = Math.Min(8 - skip, destination.Length - at);
            word.Slice(skip, count).CopyTo(destination[at..]);
            at += count;
        }
    }

    /// <summary>Fails unless two ranges are equal, naming the first offset at which they differ.</summary>
    /// <param name="expected">What should be there.</param>
    /// <param name="actual">What is there.</param>
    /// <param name="offset">Absolute offset of the first byte, in bytes.</param>
    /// <param name="context">Said first in the message.</param>
    public static void AssertEqual(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual, long offset = 0, string context = "")
    {
        string? difference = Difference(expected, actual, offset);
        if (difference is not null)
        {
            Assert.Fail(context.Length == 0 ? difference : $"{context}: {difference}");
        }
    }

    /// <inheritdoc cref="AssertEqual(ReadOnlySpan{byte}, ReadOnlySpan{byte}, long, string)"/>
    public static void AssertEqual(byte[] expected, byte[] actual, long offset = 0, string context = "") =>
        AssertEqual(expected.AsSpan(), actual, offset, context);

    /// <summary>Fails unless the range is all zeroes.</summary>
    /// <param name="actual">What is there.</param>
    /// <param name="offset">Absolute offset of the first byte, in bytes.</param>
    /// <param name="context">Said first in the message.</param>
    public static void AssertZero(ReadOnlySpan<byte> actual, long offset = 0, string context = "") =>
        AssertEqual(new byte[actual.Length].AsSpan(), actual, offset, context);

    /// <summary>Describes the first difference of two ranges.</summary>
    /// <param name="expected">What should be there.</param>
    /// <param name="actual">What is there.</param>
    /// <param name="offset">Absolute offset of the first byte, in bytes.</param>
    /// <returns>Null when they are equal.</returns>
    public static string? Difference(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual, long offset = 0)
    {
        int common = expected.CommonPrefixLength(actual);
        if (common == expected.Length && common == actual.Length)
        {
            return null;
        }

        if (common == Math.Min(expected.Length, actual.Length))
        {
            return $"expected {expected.Length} bytes, found {actual.Length}";
        }

        int wrong = 0;
        for (int index = common; index < Math.Min(expected.Length, actual.Length); index++)
        {
            wrong += expected[index] != actual[index] ? 1 : 0;
        }

        int shown = Math.Min(16, Math.Min(expected.Length, actual.Length) - common);
        return $"first difference at offset {offset + common} (byte {common} of {expected.Length}, {wrong} differ): "
            + $"expected {Convert.ToHexString(expected.Slice(common, shown))}, found {Convert.ToHexString(actual.Slice(common, shown))}";
    }

    // The finalizer of SplitMix64 (Steele, Lea, Flood 2014): neighbouring inputs give unrelated outputs.
    private static ulong Mix(ulong seed, ulong index)
    {
        ulong z = (seed * 0x9E3779B97F4A7C15) + index + 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
