using NbdFuse.Block;
using NbdFuse.Cache;
using Xunit;
using static NbdFuse.UnitTests.Cache.CacheBench;

namespace NbdFuse.UnitTests.Cache;

public class PrefetchTests
{
    private const int Pieces = 32;

    [Fact]
    public void Trace_is_read_in_its_order_before_anybody_asks_and_then_served_from_memory()
    {
        CacheBench bench = Make([(100, 1), (7, 20), (1024, 1)]);
        bench.Turn();
        Assert.Equal(
            [(100L * Granule, (long)Granule), (7 * Granule, 16 * Granule), (23 * Granule, 4 * Granule), (1024 * Granule, 100)],
            bench.Device.Waiting.Select(below => (below.Offset, below.Length)));
        bench.EndAll();
        Assert.Equal(22 * Granule, bench.Statistics.HeldBytes);

        bench.AssertHeld(7 * Granule, 16 * Granule);
        bench.AssertHeld(100 * Granule);
        bench.AssertHeld(23 * Granule, 4 * Granule);
        bench.AssertHeld(1024 * Granule, 100);
        bench.Turn();

        Assert.Equal((4, 4), (bench.Statistics.Hits, bench.Statistics.Prefetches));
        Assert.Equal((21 * Granule) + 100, bench.Statistics.UsedPrefetchedBytes);
        Assert.Equal(0, bench.Statistics.WastedPrefetchedBytes);
        Assert.Equal(0, bench.Statistics.HeldBytes);
        Assert.False(bench.Cache.IsPrefetching);
    }

    [Fact]
    public void Granule_leaves_when_it_has_been_read_to_its_end()
    {
        CacheBench bench = Make([(5, 1)]);
        bench.EndAll();
        bench.AssertHeld(5 * Granule, 512);
        bench.AssertHeld((5 * Granule) + 512, 512);
        bench.AssertHeld((5 * Granule) + 1024, 3072);
        bench.AssertNotHeld(5 * Granule);
    }

    [Fact]
    public void With_a_cache_what_has_been_read_stays_there()
    {
        CacheBench bench = Make([(5, 2)], cacheBytes: 1 << 20);
        bench.EndAll();
        bench.AssertHeld(5 * Granule, 2 * Granule);
        bench.AssertHeld(5 * Granule, 2 * Granule);
        Assert.Equal((2, 1), (bench.Statistics.Hits, bench.Device.Reads));
    }

    [Fact]
    public void Requests_and_memory_are_bounded()
    {
        CacheBench bench = Make([.. Enumerable.Range(0, 512).Select(i => ((long)(511 - i) * 2, 1))]);
        bench.Turn();
        Assert.Equal(Pieces, bench.Device.Waiting.Count);
        bench.EndAll();

        // 1 MiB is 256 granules; the trace has twice as many.
        Assert.Equal((256, 1 << 20), (bench.Device.Reads, bench.Statistics.HeldBytes));
        bench.AssertHeld(1022 * Granule);
        bench.AssertHeld(1020 * Granule);
        bench.EndAll();
        Assert.Equal(258, bench.Device.Reads);
    }

    [Fact]
    public void Reader_of_the_whole_trace_is_never_passed_on()
    {
        (long Granule, int Count)[] reads = [.. Enumerable.Range(0, 512).Select(i => (i * 389L % 1024, 1))];
        CacheBench bench = Make(reads);
        foreach ((long granule, _) in reads)
        {
            bench.EndAll();
            bench.AssertHeld(granule * Granule);
        }

        Assert.Equal((512, 512), (bench.Statistics.Hits, bench.Device.Reads));
    }

    [Fact]
    public void Reads_of_others_come_first()
    {
        CacheBench bench = Make([.. Enumerable.Range(0, 500).Select(i => (i * 2L, 1))]);
        for (int i = 0; i < 7; i++)
        {
            bench.Read((1000 + i) * Granule);
        }

        bench.Turn();
        Assert.Equal(7 + 8, bench.Device.Waiting.Count);
        Assert.All(bench.Device.Waiting.Take(7), below => Assert.True(below.Offset >= 1000 * Granule));
        bench.Device.End(7);
        bench.Turn();
        Assert.Equal(7 + 8, bench.Device.Waiting.Count);
        bench.Read(1020 * Granule);
        bench.Device.End(7);
        bench.Turn();
        Assert.Equal(8 + 7, bench.Device.Waiting.Count);
        for (int i = 0; i < 8; i++)
        {
            bench.Device.End(bench.Device.Waiting.FindIndex(below => below.Offset >= 1000 * Granule));
        }

        bench.Turn();
        Assert.Equal(Pieces, bench.Device.Waiting.Count);
    }

    [Fact]
    public void Reader_waits_for_what_is_under_way_instead_of_asking_again()
    {
        CacheBench bench = Make([(0, 40)]);
        bench.Turn();
        BlockRequest read = bench.Read(14 * Granule, 8 * Granule);
        BlockRequest other = bench.Read(4 * Granule, Granule);
        Assert.Equal(3, bench.Device.Waiting.Count);
        bench.EndAll();
        bench.AssertCurrent(read);
        bench.AssertCurrent(other);
        Assert.Equal((3, 2), (bench.Device.Reads, bench.Statistics.JoinedPrefetches));
    }

    [Fact]
    public void What_the_reader_has_read_by_itself_is_left_out()
    {
        CacheBench bench = Make([.. Enumerable.Range(0, 100).Select(i => (i * 2L, 1))]);
        BlockRequest read = bench.Read(80 * 2 * Granule);
        bench.EndAll();
        bench.AssertCurrent(read);
        Assert.Equal(100, bench.Device.Reads);
    }

    [Theory]
    [InlineData(BlockOperation.Write)]
    [InlineData(BlockOperation.Trim)]
    [InlineData(BlockOperation.WriteZeroes)]
    public void What_is_changed_is_read_anew(BlockOperation operation)
    {
        CacheBench bench = Make([(0, 8)]);
        bench.EndAll();
        BlockRequest change = bench.Caller.Submit(operation, 3 * Granule, Granule);
        BlockRequest during = bench.Read(3 * Granule);
        bench.EndAll();
        bench.Caller.AssertEnded(change);
        bench.AssertCurrent(during);
        bench.AssertNotHeld(3 * Granule);
        bench.AssertHeld(0, 3 * Granule);
        bench.AssertHeld(4 * Granule, 4 * Granule);
    }

    [Fact]
    public void What_is_changed_while_it_is_under_way_is_not_kept()
    {
        CacheBench bench = Make([(0, 8)]);
        bench.Turn();

        // The server reads before the write, and answers after it.
        bench.Device.Execute(0);
        BlockRequest write = bench.Write(3 * Granule);
        bench.Device.End();
        bench.Caller.AssertEnded(write);
        bench.Device.Reply(0);
        bench.Turn();
        Assert.Equal(0, bench.Statistics.HeldBytes);
        bench.AssertNotHeld(0, 8 * Granule);
    }

    [Fact]
    public void What_is_being_changed_is_not_read()
    {
        CacheBench bench = Make([(0, 8), (20, 1)]);
        BlockRequest write = bench.Write(3 * Granule);
        bench.Turn();
        Assert.Equal([3L * Granule, 20 * Granule], bench.Device.Waiting.Select(below => below.Offset));
        bench.EndAll();
        bench.Caller.AssertEnded(write);
    }

    [Fact]
    public void What_the_reader_has_left_behind_makes_room()
    {
        CacheBench bench = Make([.. Enumerable.Range(0, 1024).Select(i => ((long)i, 1))]);
        bench.EndAll();
        Assert.Equal(256, bench.Device.Reads);

        // The first half of the trace is not wanted this time.
        for (int i = 512; i < 1024; i++)
        {
            BlockRequest read = bench.Read(i * Granule);
            bench.EndAll();
            bench.AssertCurrent(read);
        }

        Assert.InRange(bench.Statistics.WastedPrefetchedBytes, 200 * Granule, 512 * Granule);
        Assert.True(bench.Statistics.Hits + bench.Statistics.JoinedPrefetches > 100);
    }

    [Fact]
    public void Failures_in_a_row_end_it_and_readers_ask_for_themselves()
    {
        CacheBench bench = Make([.. Enumerable.Range(0, 100).Select(i => (i * 2L, 1))]);
        bench.Turn();
        BlockRequest waiting = bench.Read(0);
        for (int i = 0; i < 4; i++)
        {
            bench.Device.End(0, BlockErrno.EIO);
            bench.Ready.Run();
        }

        Assert.False(bench.Cache.IsPrefetching);
        bench.EndAll();
        bench.AssertCurrent(waiting);
        Assert.Equal((Pieces + 1, 0), (bench.Device.Reads, bench.Statistics.HeldBytes));
    }

    [Fact]
    public void One_failure_costs_nobody_anything()
    {
        CacheBench bench = Make([(0, 1), (2, 1), (4, 1)]);
        bench.Turn();
        bench.Device.End(1, BlockErrno.EIO);
        bench.EndAll();
        bench.AssertHeld(0);
        bench.AssertNotHeld(2 * Granule);
        bench.AssertHeld(4 * Granule);
    }

    [Fact]
    public void Nothing_is_held_for_a_device_that_has_changed_and_the_rest_of_the_trace_goes_on()
    {
        CacheBench bench = Make([.. Enumerable.Range(0, 300).Select(i => (i * 2L, 1))]);
        bench.EndAll();
        bench.Cache.Clear();
        Assert.Equal(0, bench.Statistics.HeldBytes);
        bench.EndAll();
        Assert.Equal(300, bench.Device.Reads);
    }

    [Fact]
    public void Nothing_is_read_or_served_for_a_device_that_has_failed()
    {
        CacheBench bench = Make([.. Enumerable.Range(0, 300).Select(i => (i * 2L, 1))]);
        bench.Turn();
        bench.Device.End();
        bench.Ready.Run();
        bench.Cache.Suspend();
        bench.EndAll();
        Assert.Equal((Pieces, 0), (bench.Device.Reads, bench.Statistics.HeldBytes));
        bench.AssertNotHeld(0);
    }

    [Fact]
    public void Memory_is_given_back_when_nobody_wants_the_rest()
    {
        CacheBench bench = Make([.. Enumerable.Range(0, 300).Select(i => (i * 2L, 1))]);
        bench.EndAll();
        bench.Clock.Microseconds += 299_000_000;
        bench.AssertHeld(0);
        bench.Turn();
        bench.Clock.Microseconds += 299_000_000;
        bench.Turn();
        bench.AssertHeld(2 * Granule);
        bench.EndAll();
        bench.Clock.Microseconds += 301_000_000;
        bench.Turn();
        Assert.False(bench.Cache.IsPrefetching);
        Assert.Equal((0, 1 << 20), (bench.Statistics.HeldBytes, bench.Memory.Released));
        bench.AssertNotHeld(4 * Granule);
    }

    [Fact]
    public void Trace_of_another_device_is_refused() =>
        Assert.Throws<ArgumentException>(() => new CacheBench(trace: AccessTrace.Of(Info.Size + 1, [(0, 1)])));

    [Fact]
    public void Nothing_is_allocated_per_request()
    {
        CacheBench bench = Make([.. Enumerable.Range(0, 1024).Select(i => (i * 389L % 1024, 1))], prefetchBytes: 2 << 20);
        var request = new BlockRequest(bench.Ready, 0) { Buffer = GC.AllocateArray<byte>(Granule, pinned: true) };
        Run(0, 400);
        long least = long.MaxValue;
        for (int window = 400; window < 1000; window += 100)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Run(window, 100);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
        Assert.True(bench.Statistics.Hits > 900);

        void Run(int first, int count)
        {
            for (int i = first; i < first + count; i++)
            {
                for (bench.Turn(); bench.Device.Waiting.Count > 0; bench.Turn())
                {
                    bench.Device.End(bench.Device.Waiting.Count - 1);
                }

                request.Operation = BlockOperation.Read;
                request.Offset = i * 389L % 1024 * Granule;
                request.Length = Granule;
                request.Push(bench.Caller);
                bench.Cache.Submit(request);
                bench.Ready.Run();
                bench.Caller.Ended.Clear();
            }
        }
    }

    private static CacheBench Make((long Granule, int Count)[] reads, long cacheBytes = 0, long prefetchBytes = 1 << 20) =>
        new(cacheBytes, trace: AccessTrace.Of(Info.Size, reads), prefetchBytes: prefetchBytes);
}
