namespace NbdFuse.TestKit;

/// <summary>The ways in which a frame can arrive: every parser must give the same answer for all of them.</summary>
public static class WireData
{
    /// <summary>
    /// Whole, cut in two at every index, byte by byte. For a frame above 512 bytes the cuts keep to its first and last
    /// 64 bytes and every 61st index between them, so that a test stays linear.
    /// </summary>
    /// <param name="frame">The frame.</param>
    /// <returns>Lists of pieces whose concatenation is the frame.</returns>
    public static IEnumerable<IReadOnlyList<byte[]>> Fragmentations(byte[] frame)
    {
        yield return [frame];
        for (int cut = 1; cut < frame.Length; cut++)
        {
            if (frame.Length <= 512 || cut < 64 || cut > frame.Length - 64 || cut % 61 == 0)
            {
                yield return [frame[..cut], frame[cut..]];
            }
        }

        yield return [.. frame.Select(single => new[] { single })];
    }

    /// <summary>Every proper prefix of a frame, the empty one included: none of them may be taken for the frame.</summary>
    /// <param name="frame">The frame.</param>
    public static IEnumerable<byte[]> Prefixes(byte[] frame)
    {
        for (int length = 0; length < frame.Length; length++)
        {
            yield return frame[..length];
        }
    }

    /// <summary>Joins frames.</summary>
    /// <param name="frames">The frames.</param>
    public static byte[] Concat(params byte[][] frames)
    {
        byte[] all = new byte[frames.Sum(frame => frame.Length)];
        int at = 0;
        foreach (byte[] frame in frames)
        {
            frame.CopyTo(all, at);
            at += frame.Length;
        }

        return all;
    }

    /// <summary>The frame with one byte changed.</summary>
    /// <param name="frame">The frame.</param>
    /// <param name="index">Which byte.</param>
    /// <param name="mask">Bits to flip; not 0.</param>
    public static byte[] Corrupt(byte[] frame, int index, byte mask = 0xff)
    {
        byte[] copy = [.. frame];
        copy[index] ^= mask;
        return copy;
    }
}
