namespace NbdFuse.UnitTests.Cache;

/// <summary>Sequences of granules that stand for what readers do. Each is the same in every run.</summary>
internal static class Traces
{
    public static IReadOnlyDictionary<string, Func<IEnumerable<long>>> All { get; } = new Dictionary<string, Func<IEnumerable<long>>>
    {
        ["zipf 0.8 over 100 k"] = () => Zipf(0.8, 100_000, 600_000),
        ["zipf 1.0 over 100 k"] = () => Zipf(1.0, 100_000, 600_000),
        ["zipf 0.99 with scans"] = () => ZipfWithScans(0.99, 100_000, 600_000),
        ["loop over twice the cache"] = () => Loop(20_000, 400_000),
        ["loop over nine tenths of the cache"] = () => Loop(9_000, 200_000),
        ["hot set that shifts"] = () => ShiftingHotSet(600_000),
        ["hot set in a storm of single reads"] = () => HotSetInStorm(600_000),
        ["uniform over ten times the cache"] = () => Uniform(100_000, 600_000),
        ["recent ones again"] = () => RecentAgain(1_200_000),
    };

    public static IEnumerable<long> Loop(int length, int count)
    {
        for (int i = 0; i < count; i++)
        {
            yield return i % length;
        }
    }

    private static IEnumerable<long> Uniform(int keys, int count)
    {
        var random = new Random(1);
        for (int i = 0; i < count; i++)
        {
            yield return random.Next(keys);
        }
    }

    private static IEnumerable<long> Zipf(double exponent, int keys, int count)
    {
        double[] sums = Sums(exponent, keys);
        var random = new Random(2);
        for (int i = 0; i < count; i++)
        {
            yield return Draw(sums, random);
        }
    }

    // A scan as long as four caches after every 100 000 reads, one of its reads for each other read.
    private static IEnumerable<long> ZipfWithScans(double exponent, int keys, int count)
    {
        double[] sums = Sums(exponent, keys);
        var random = new Random(3);
        long scan = 1_000_000;
        for (int i = 0; i < count; i++)
        {
            yield return Draw(sums, random);
            if (i % 100_000 >= 60_000)
            {
                yield return scan++;
            }
        }
    }

    private static IEnumerable<long> ShiftingHotSet(int count)
    {
        double[] sums = Sums(0.9, 20_000);
        var random = new Random(4);
        for (int i = 0; i < count; i++)
        {
            long shift = i / 100_000 * 7_919L;
            yield return (Draw(sums, random) + shift) % 100_000;
        }
    }

    private static IEnumerable<long> HotSetInStorm(int count)
    {
        var random = new Random(5);
        for (int i = 0; i < count; i++)
        {
            yield return random.Next(10) < 3 ? random.Next(8_000) : 1_000_000 + random.Next(100_000_000);
        }
    }

    // Each new granule is read again soon, a few times, and then never more.
    private static IEnumerable<long> RecentAgain(int count)
    {
        var random = new Random(6);
        for (int i = 0; i < count; i++)
        {
            yield return (i / 4) - (long)(random.NextDouble() * random.NextDouble() * Math.Min(i / 4, 12_000));
        }
    }

    private static double[] Sums(double exponent, int keys)
    {
        double[] sums = new double[keys];
        double sum = 0;
        for (int i = 0; i < keys; i++)
        {
            sum += 1 / Math.Pow(i + 1, exponent);
            sums[i] = sum;
        }

        return sums;
    }

    // The ranks are scattered, so that popular ones are no neighbours.
    private static long Draw(double[] sums, Random random)
    {
        int rank = Array.BinarySearch(sums, random.NextDouble() * sums[^1]);
        rank = rank < 0 ? Math.Min(~rank, sums.Length - 1) : rank;
        return rank * 48_271L % 2_147_483_647 % (sums.Length * 64L);
    }
}
