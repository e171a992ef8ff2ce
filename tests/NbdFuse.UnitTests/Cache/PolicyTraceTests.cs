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
    public void Policy_keeps_what_is_popular_as_well_as_the_plain_one_and_loses_little_elsewhere(string trace)
    {
        double lru = Run(new LruPolicy(Capacity), trace);
        double fifo = Run(new S3FifoPolicy(Capacity), trace);
        double tiny = Run(new StorePolicy(Capacity, hasLateDoor: false, climbs: false), trace);
        double own = Run(new StorePolicy(Capacity), trace);
        TestContext.Current.TestOutputHelper?.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"| {trace} | {lru:P1} | {fifo:P1} | {tiny:P1} | {own:P1} |"));

        // The traces are the same in every run, and so are the shares: what is allowed here is loss by a change of the code.
        double loss = trace.StartsWith("zipf", StringComparison.Ordinal) ? 0.001 : 0.015;
        Assert.True(own >= tiny - loss, $"{own:P2} is worse than W-TinyLFU's {tiny:P2}");
        Assert.True(own > fifo - 0.05, $"{own:P2} is worse than S3-FIFO's {fifo:P2}");
        Assert.True(own > lru - 0.25, $"{own:P2} is worse than LRU's {lru:P2}");
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
