using NbdFuse.Block;
using Xunit;
using static NbdFuse.UnitTests.Cache.CacheBench;

namespace NbdFuse.UnitTests.Cache;

public class ReadAheadTests
{
    private const int K = 1024;
    private const long M = 1 << 20;

    [Theory]
    [InlineData(4 * K, 1)]
    [InlineData(128 * K, 1)]
    [InlineData(128 * K, 2)]
    [InlineData(1024 * K, 1)]
    public void Sequential_reader_behind_10_ms_gets_nine_tenths_of_a_link_of_800_megabits(int length, int depth)
    {
        const double Link = 100;
        var bench = new LinkBench(10_000, Link);
        bench.Run(Sequential(0, length, 16 * M), depth);
        double rate = bench.Run(Sequential(16 * M, length, 128 * M), depth);
        Assert.True(rate > 0.9 * Link, $"{rate:F1} bytes per microsecond, window {rate * 10_000 / K:F0} KiB");
        Assert.True(bench.Statistics.WastedPrefetchedBytes < 8 * M);
        Assert.True(bench.Statistics.HeldBytes <= 9 * M);
    }

    [Fact]
    public void Window_does_not_outgrow_what_the_link_needs()
    {
        // 1 ms at 100 bytes per microsecond: 100 KB under way are enough, and 6 MiB would stand in front of others for 60 ms.
        var bench = new LinkBench(1000, 100);
        bench.Run(Sequential(0, 128 * K, 256 * M));
        long wait = bench.Time(1L << 39, 4096);
        Assert.True(wait < 20_000, $"a read of another place waited {wait} us");
    }

    [Fact]
    public void Interleaved_streams_are_told_apart()
    {
        var bench = new LinkBench(5000, 200);
        bench.Run(Interleaved(6, 32 * K, 16 * M));
        long hits = bench.Statistics.Hits;
        long misses = bench.Statistics.Misses + bench.Statistics.Partial;
        Assert.True(misses < 60, $"{misses} misses of {hits} hits");
    }

    [Theory]
    [InlineData(4 * K, 256 * K)]
    [InlineData(16 * K, -64 * K)]
    [InlineData(4 * K, -4 * K)]
    public void Strided_readers_are_recognised_and_only_their_pieces_are_read(int length, int stride)
    {
        var bench = new LinkBench(5000, 100);
        const int Count = 2000;
        bench.Run(Enumerable.Range(0, Count).Select(i => ((1L << 30) + ((long)i * stride), length)));
        Assert.True(bench.Statistics.Misses < 20, $"{bench.Statistics.Misses} misses");
        Assert.True(bench.Statistics.PrefetchedBytes < (Count + 100L) * length);
        Assert.All(bench.Device.Seen, seen => Assert.Equal(length, seen.Length));
    }

    [Fact]
    public void What_readers_that_stopped_left_unread_makes_room_for_others()
    {
        var bench = new LinkBench(10_000, 100);
        for (int reader = 0; reader < 4; reader++)
        {
            bench.Run(Sequential((long)reader << 32, 128 * K, 32 * M));
        }

        bench.Run(Sequential(1L << 36, 4 * K, M));
        double rate = bench.Run(Sequential((1L << 36) + M, 4 * K, 16 * M));
        Assert.True(rate > 80, $"{rate:F1} bytes per microsecond");
        Assert.True(bench.Statistics.WastedPrefetchedBytes > 0);
    }

    [Fact]
    public void Random_reads_cause_no_read_ahead()
    {
        var random = new Random(7);
        var bench = new LinkBench(100, 1000);
        bench.Run(Enumerable.Range(0, 20_000).Select(_ => (random.NextInt64(1L << 28) * 4096, 4096)), depth: 32);
        Assert.Equal(0, bench.Statistics.Prefetches);
    }

    [Theory]
    [InlineData(20_000, true)]
    [InlineData(1000, false)]
    public void Short_reads_of_a_small_part_bring_what_lies_around_them_when_answers_are_slow(int latencyUs, bool isExpected)
    {
        // As a boot reads: half of the blocks of 64 pieces of 128 KiB, in no order.
        var random = new Random(9);
        var bench = new LinkBench(latencyUs, 100, aroundAbove: 4000);
        int[] blocks = [.. Enumerable.Range(0, 2048)];
        random.Shuffle(blocks);
        bench.Run(blocks.Take(1024).Select(block => (block * 4096L, 4096)));

        int reads = bench.Device.Seen.Count;
        Assert.True(isExpected ? reads < 120 : reads > 900, $"{reads} reads");
        Assert.All(bench.Device.Seen.Skip(isExpected ? 1 : 0).Take(20), seen => Assert.Equal(isExpected ? 128 * K : 4096, seen.Length));
    }

    [Fact]
    public void Short_runs_at_random_places_stop_being_read_ahead_far()
    {
        // Five reads in order, then elsewhere: what is read ahead is mostly wasted.
        var random = new Random(8);
        var bench = new LinkBench(1000, 1000);
        bench.Run(Enumerable.Range(0, 2000).SelectMany(_ =>
        {
            long start = random.NextInt64(1L << 27) * 8192;
            return Enumerable.Range(0, 5).Select(i => (start + (i * 4096L), 4096));
        }));
        double read = bench.Device.Seen.Sum(seen => (double)seen.Length);
        Assert.True(read < 2000 * 5 * 4096 * 8.0, $"{read / (2000 * 5 * 4096):F1} bytes were read for each that was asked for");
    }

    [Fact]
    public void Reader_of_long_pieces_near_the_server_that_keeps_several_in_flight_is_left_alone()
    {
        // Its payloads go by splice when nobody interferes.
        var bench = new LinkBench(100, 2000);
        bench.Run(Sequential(0, 128 * K, 64 * M), depth: 8);
        Assert.Equal(0, bench.Statistics.Prefetches);
    }

    [Theory]
    [InlineData(64 * K, 64 * K)]
    [InlineData(100_000, 64 * K)]
    [InlineData(int.MaxValue, 128 * K)]
    public void Nothing_longer_than_the_server_takes_is_read_ahead_in_one_piece(int maximumPayload, int longest)
    {
        var bench = new LinkBench(10_000, 100, maximumPayload: maximumPayload);
        bench.Run(Sequential(0, 16 * K, 16 * M));
        Assert.Equal(longest, bench.Device.Seen.Max(seen => seen.Length));
    }

    [Fact]
    public void Demand_that_comes_before_the_read_ahead_joins_it()
    {
        var bench = new CacheBench(readAheadBytes: M);
        for (int i = 0; i < 3; i++)
        {
            bench.Read(i * Granule);
            bench.Device.End();
            bench.Turn();
        }

        int below = bench.Device.Reads;
        Assert.True(below > 3);
        BlockRequest read = bench.Read(3 * Granule);
        Assert.Equal(below, bench.Device.Reads);
        Assert.Equal(1, bench.Statistics.JoinedPrefetches);
        bench.EndAll();
        bench.AssertCurrent(read);
        bench.AssertHeld(4 * Granule);
        Assert.Equal(2 * Granule, bench.Statistics.UsedPrefetchedBytes);
    }

    [Fact]
    public void Failed_read_ahead_is_repeated_for_those_who_waited_with_their_exact_range()
    {
        CacheBench bench = Streaming();
        BlockRequest read = bench.Read(3 * Granule);
        while (bench.Device.Waiting.Count > 0 && bench.Device.Waiting[0].Length > Granule)
        {
            bench.Device.Execute(0, BlockErrno.EIO, hasEffect: true);
            bench.Device.Reply(0);
            bench.Ready.Run();
        }

        Assert.Equal((3 * Granule, Granule), (bench.Device.Waiting[0].Offset, bench.Device.Waiting[0].Length));
        bench.EndAll();
        bench.AssertCurrent(read);
        Assert.Equal(1, bench.Statistics.Retries);
    }

    [Fact]
    public void Write_into_what_is_read_ahead_drops_it()
    {
        CacheBench bench = Streaming();
        bench.EndAll();
        bench.Write(4 * Granule);
        BlockRequest read = bench.Read(4 * Granule);
        bench.EndAll();
        bench.AssertCurrent(read);
        bench.AssertNotHeld(6 * Granule);
    }

    [Fact]
    public void Write_while_read_ahead_is_under_way_keeps_it_from_later_readers()
    {
        CacheBench bench = Streaming();
        BlockRequest before = bench.Read(4 * Granule);
        while (bench.Device.Waiting.Count > 0)
        {
            bench.Device.Execute(0);
        }

        BlockRequest write = bench.Write(4 * Granule);
        bench.Device.End();
        bench.Caller.AssertEnded(write);
        BlockRequest late = bench.Read(4 * Granule);
        bench.EndAll();
        bench.Caller.AssertEnded(before);
        bench.AssertCurrent(late);
    }

    [Fact]
    public void Read_over_several_segments_waits_for_all_of_them()
    {
        var bench = new CacheBench(readAheadBytes: M);
        bench.Warm(0, 32 * K);
        bench.Warm(32 * K, 32 * K);
        bench.Read(64 * K, 32 * K);
        bench.Device.End();
        bench.Turn();
        Assert.True(bench.Device.Waiting.Count > 1);
        BlockRequest read = bench.Read((96 * K) + 1000, 150 * K);
        while (bench.Device.Waiting.Count > 0)
        {
            bench.Caller.AssertNotEnded(read);
            bench.Device.End(bench.Device.Waiting.Count - 1);
        }

        bench.AssertCurrent(read);
        Assert.Equal(1, bench.Statistics.JoinedPrefetches);
    }

    [Fact]
    public void Read_ahead_ends_at_the_end_of_the_device()
    {
        var bench = new CacheBench(readAheadBytes: M);
        for (long offset = Info.Size - 100 - (64 * K); offset < Info.Size; offset += Granule)
        {
            BlockRequest read = bench.Read(offset, (int)Math.Min(Granule, Info.Size - offset));
            bench.EndAll();
            bench.AssertCurrent(read);
        }
    }

    [Fact]
    public void Demand_goes_down_before_the_read_ahead_of_the_same_turn()
    {
        CacheBench bench = Streaming(reads: 2);
        int before = bench.Device.Reads;
        bench.Read(2 * Granule);
        bench.Read(2 * M);
        Assert.Equal(before + 2, bench.Device.Reads);
        bench.Turn();
        Assert.Equal([2L * Granule, 2 * M], bench.Device.Waiting.Take(2).Select(request => request.Offset));
        Assert.True(bench.Device.Reads > before + 2);
        bench.EndAll();
    }

    [Fact]
    public void Read_ahead_is_cut_down_while_many_others_wait()
    {
        CacheBench bench = Streaming(reads: 2);
        for (int i = 0; i < 10; i++)
        {
            // Not in equal steps: that would be a reader of its own.
            bench.Read((2 * M) + (i * i * 8L * K), 512);
        }

        bench.Read(2 * Granule);
        bench.Turn();
        Assert.InRange(bench.Device.Waiting.Count(request => request.Length > Granule), 1, 4);
        bench.EndAll();
    }

    private static CacheBench Streaming(int reads = 3)
    {
        var bench = new CacheBench(readAheadBytes: M);
        for (int i = 0; i < reads; i++)
        {
            bench.Read(i * Granule);
            bench.Device.End();
            bench.Turn();
        }

        return bench;
    }

    private static IEnumerable<(long Offset, int Length)> Sequential(long start, int length, long bytes)
    {
        for (long offset = start; offset < start + bytes; offset += length)
        {
            yield return (offset, length);
        }
    }

    private static IEnumerable<(long Offset, int Length)> Interleaved(int streams, int length, long bytes)
    {
        for (long offset = 0; offset < bytes / streams; offset += length)
        {
            for (int stream = 0; stream < streams; stream++)
            {
                yield return (((long)stream << 32) + offset, length);
            }
        }
    }
}
