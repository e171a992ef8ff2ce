using Xunit;

namespace NbdFuse.UnitTests.Cache;

public class PolicyTraceTests
{
    private const int Capacity = 10_000;

    [Fact]
    public void Table()
    {
        var lines = new List<string>();
        foreach ((string name, Func<IEnumerable<long>> trace) in Traces.All)
        {
            lines.Add($"{name,-40} {Run(new LruPolicy(Capacity), trace):F4} {Run(new S3FifoPolicy(Capacity), trace):F4} {Run(new StorePolicy(Capacity, false, false), trace):F4} {Run(new StorePolicy(Capacity, true, false), trace):F4} {Run(new StorePolicy(Capacity), trace):F4}");
        }

        File.WriteAllLines("/tmp/wt/cache-table.txt", lines);
    }

    private static double Run(ITracedPolicy policy, Func<IEnumerable<long>> trace)
    {
        long hits = 0, count = 0;
        foreach (long key in trace())
        {
            count++;
            hits += policy.Access(key) ? 1 : 0;
        }

        return (double)hits / count;
    }
}
