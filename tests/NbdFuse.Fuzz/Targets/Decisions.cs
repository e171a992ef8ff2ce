namespace NbdFuse.Fuzz.Targets;

/// <summary>An input that says what a misbehaving peer does next, byte by byte; zeroes when it is at its end.</summary>
internal sealed class Decisions(byte[] input)
{
    private int _at;

    /// <summary>Whether something is left.</summary>
    public bool IsAtEnd => _at >= input.Length;

    /// <summary>A choice.</summary>
    /// <param name="count">Number of possibilities, 1 to 65536.</param>
    /// <returns>0 to <paramref name="count"/> - 1.</returns>
    public int Next(int count)
    {
        int value = NextByte();
        if (count > 256)
        {
            value = (value << 8) | NextByte();
        }

        return value % count;
    }

    /// <summary>Any byte.</summary>
    public byte NextByte() => IsAtEnd ? (byte)0 : input[_at++];
}
