using System.Globalization;
using Xunit;

namespace NbdFuse.UnitTests.Cache;

/// <summary>The policy against others, by traces. The table of docs/CACHE.md is what this prints.</summary>
public class PolicyTraceTests
{
    private const int Capacity = 10_000;

    public static TheoryData<string> Names => [.. Traces.All.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Policy_is_as_good_as_the_best_known_ones_or_nearly(string trace)
    {
        double lru = Run(new LruPolicy(Capacity), trace);
        double fifo = Run(new S3FifoPolicy(Capacity), trace);
        double tiny = Run(new StorePolicy(Capacity, hasLateDoor: false, climbs: false), trace);
        double own = Run(new StorePolicy(Capacity), trace);
        TestContext.Current.TestOutputHelper?.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"| {trace} | {lru:P1} | {fifo:P1} | {tiny:P1} | {own:P1} |"));

        // The traces are the same in every run, and so are the shares: what is allowed here is loss by a change of the code.
        Assert.True(own > tiny - 0.005, $"{own:P2} is worse than W-TinyLFU's {tiny:P2}");
        Assert.True(own > fifo - 0.05, $"{own:P2} is worse than S3-FIFO's {fifo:P2}");
        Assert.True(own > lru - 0.25, $"{own:P2} is worse than LRU's {lru:P2}");
    }

    [Theory]
    [InlineData("zipf 0.8 over 100 k")]
    [InlineData("zipf 1.0 over 100 k")]
    [InlineData("zipf 0.99 with scans")]
    public void Popular_granules_are_kept_at_least_as_well_as_by_the_plain_policy(string trace)
    {
        double tiny = Run(new StorePolicy(Capacity, hasLateDoor: false, climbs: false), trace);
        double own = Run(new StorePolicy(Capacity), trace);
        Assert.True(own >= tiny, $"{own:P2} is worse than W-TinyLFU's {tiny:P2}");
    }

    private static double Run(ITracedPolicy policy, string trace)
    {
        long hits = 0;
        long count = 0;
        foreach (long key in Traces.All[trace]())
        {
            count++;
            hits += policy.Access(key) ? 1 : 0;
        }

        return (double)hits / count;
    }
}
