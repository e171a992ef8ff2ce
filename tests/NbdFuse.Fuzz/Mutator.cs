namespace NbdFuse.Fuzz;

/// <summary>Changes inputs, the same way for the same seed.</summary>
internal sealed class Mutator(Random random)
{
    /// <summary>Longest input in bytes: what a socket's buffer takes without a reader.</summary>
    public const int MaximumBytes = 48 * 1024;

    private const int MostChanges = 6;

    // Where lengths, counts and offsets change their meaning.
    private static readonly ulong[] Edges =
    [
        0, 1, 2, 3, 4, 7, 8, 12, 15, 16, 20, 28, 32, 39, 40, 63, 64, 127, 128, 255, 256, 511, 512, 4095, 4096, 4097, 65535, 65536, 1 << 20,
        (32 << 20) - 1, 32 << 20, (32 << 20) + 1, int.MaxValue, 1UL << 31, uint.MaxValue, 1UL << 32, long.MaxValue, 1UL << 63, ulong.MaxValue,
    ];

    /// <summary>Makes an input out of one of the seeds.</summary>
    /// <param name="seeds">At least one.</param>
    public byte[] Next(IReadOnlyList<byte[]> seeds)
    {
        List<byte> input = [.. seeds[random.Next(seeds.Count)]];
        int changes = 1 + random.Next(MostChanges);
        for (int i = 0; i < changes; i++)
        {
            Change(input, seeds);
        }

        if (input.Count > MaximumBytes)
        {
            input.RemoveRange(MaximumBytes, input.Count - MaximumBytes);
        }

        return [.. input];
    }

    private void Change(List<byte> input, IReadOnlyList<byte[]> seeds)
    {
        int at = random.Next(input.Count + 1);
        int rest = input.Count - at;
        int count = rest == 0 ? 0 : 1 + random.Next(Math.Min(rest, random.Next(2) == 0 ? 16 : rest));
        switch (random.Next(10))
        {
            case 0 when rest > 0:
                input[at] ^= (byte)(1 << random.Next(8));
                break;
            case 1 when rest > 0:
                input[at] = (byte)random.Next(256);
                break;
            case 2:
                Overwrite(input, at, Number());
                break;
            case 3:
                input.RemoveRange(at, count);
                break;
            case 4:
                input.InsertRange(at, input.GetRange(at, count));
                break;
            case 5:
                byte[] noise = new byte[1 + random.Next(32)];
                random.NextBytes(noise);
                input.InsertRange(at, noise);
                break;
            case 6:
                input.InsertRange(at, Number());
                break;
            case 7:
                // Goes on with the end of another one.
                byte[] other = seeds[random.Next(seeds.Count)];
                input.RemoveRange(at, rest);
                input.AddRange(other.AsSpan(Math.Min(at, other.Length)));
                break;
            case 8 when random.Next(4) == 0:
                input.RemoveRange(at, rest);
                break;
            case 9:
                // A part moves.
                List<byte> part = input.GetRange(at, count);
                input.RemoveRange(at, count);
                input.InsertRange(random.Next(input.Count + 1), part);
                break;
            default:
                break;
        }
    }

    // NBD counts big-endian, FUSE, GPT and MBR little-endian.
    private byte[] Number()
    {
        ulong value = Edges[random.Next(Edges.Length)];
        byte[] number = new byte[1 << random.Next(1, 4)];
        bool big = random.Next(2) == 0;
        for (int i = 0; i < number.Length; i++)
        {
            number[big ? number.Length - 1 - i : i] = (byte)(value >> (8 * i));
        }

        return number;
    }

    private static void Overwrite(List<byte> input, int at, byte[] number)
    {
        for (int i = 0; i < number.Length && at + i < input.Count; i++)
        {
            input[at + i] = number[i];
        }
    }
}
