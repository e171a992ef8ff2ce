using NbdFuse.Block;
using NbdFuse.UnitTests.Client.Transmission;
using Xunit;
using static NbdFuse.UnitTests.Cache.CacheBench;

namespace NbdFuse.UnitTests.Cache;

public class BlockCacheReadTests
{
    private readonly CacheBench _bench = new();

    [Fact]
    public void Second_read_is_answered_without_the_device()
    {
        _bench.Warm(8192);
        _bench.AssertHeld(8192);
        _bench.AssertHeld(8192 + 100, 1000);
        Assert.Equal((1, 2), (_bench.Statistics.Misses, _bench.Statistics.Hits));
        Assert.Equal(Granule + 1000, _bench.Statistics.HitBytes);
        Assert.Equal(Granule, _bench.Statistics.HeldBytes);
    }

    [Fact]
    public void Read_of_part_of_a_granule_goes_down_whole_and_keeps_it()
    {
        BlockRequest read = _bench.Read(4096 + 512, 512);
        BlockRequest below = Assert.Single(_bench.Device.Waiting);
        Assert.Equal((4096, 4096), (below.Offset, below.Length));
        _bench.EndAll();
        _bench.AssertCurrent(read);
        _bench.AssertHeld(4096);
    }

    [Fact]
    public void Short_last_granule_is_kept_like_the_others()
    {
        long last = Info.Size - 100;
        _bench.Warm(last + 10, 50);
        _bench.AssertHeld(last, 100);
        _bench.AssertNotHeld(last - Granule, Granule + 100);
        _bench.AssertHeld(last - 10, 110);
    }

    [Fact]
    public void Concurrent_misses_of_one_granule_make_one_request()
    {
        BlockRequest[] reads = [.. Enumerable.Range(0, 10).Select(i => _bench.Read(4096 + (i * 100), 300))];
        Assert.Single(_bench.Device.Waiting);
        _bench.EndAll();
        Assert.All(reads, _bench.AssertCurrent);
        Assert.Equal((1, 9, 1), (_bench.Statistics.Misses, _bench.Statistics.Coalesced, _bench.Device.Reads));
    }

    [Fact]
    public void Misses_that_join_a_read_with_a_lent_buffer_get_their_own_copies()
    {
        BlockRequest lender = _bench.Read(0, 8 * Granule);
        BlockRequest joined = _bench.Read(3 * Granule, 2 * Granule);
        Assert.Single(_bench.Device.Waiting);
        _bench.EndAll();
        _bench.AssertCurrent(lender);
        _bench.AssertCurrent(joined);
    }

    [Fact]
    public void Read_of_which_a_part_is_held_goes_down_whole()
    {
        _bench.Warm(Granule);
        BlockRequest read = _bench.Read(0, 4 * Granule);
        Assert.Equal((0, 4 * Granule), (_bench.Device.Waiting[0].Offset, _bench.Device.Waiting[0].Length));
        _bench.EndAll();
        _bench.AssertCurrent(read);
        Assert.Equal((1, 1), (_bench.Statistics.Misses, _bench.Statistics.Partial));
        _bench.AssertHeld(0, 4 * Granule);
    }

    [Fact]
    public void Long_read_passes_by_with_its_sink_and_is_not_kept_but_is_served_when_all_of_it_is_held()
    {
        BlockRequest read = _bench.Read(0, 64 << 10);
        Assert.Same(read, Assert.Single(_bench.Device.Waiting));
        _bench.EndAll();
        _bench.AssertCurrent(read);
        Assert.Equal(0, _bench.Statistics.HeldBytes);
        for (int i = 0; i < 4; i++)
        {
            _bench.Warm(i * (32 << 10), 32 << 10);
        }

        _bench.AssertHeld(0, 128 << 10);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_is_held_goes_to_the_front_end_from_where_it_lies_or_by_the_buffer_when_that_refuses(bool refuses)
    {
        _bench.Warm(0, 8 * Granule);
        var sink = new FakeSink { Refuses = refuses };
        _bench.Caller.Sink = sink;
        BlockRequest read = _bench.Read(Granule - 100, (2 * Granule) + 300);
        _bench.Caller.AssertEnded(read);
        Assert.Equal(!refuses, read.IsDelivered);
        byte[] content = _bench.Device.Content.Slice(Granule - 100, (2 * Granule) + 300).ToArray();
        Assert.Equal(content, refuses ? read.Buffer.ToArray() : Assert.Single(sink.Delivered));
    }

    [Fact]
    public void Error_of_an_exact_read_is_told_at_once_and_not_kept()
    {
        BlockRequest read = _bench.Read(0);
        _bench.Device.End(0, BlockErrno.EIO);
        _bench.Caller.AssertEnded(read, BlockErrno.EIO);
        _bench.AssertNotHeld(0);
    }

    [Fact]
    public void Widened_read_that_fails_goes_down_once_more_with_its_exact_range()
    {
        BlockRequest read = _bench.Read(512, 512);
        BlockRequest joined = _bench.Read(1024, 512);
        _bench.Device.End(0, BlockErrno.EIO);
        _bench.Ready.Run();
        Assert.Equal([(512L, 512L), (1024L, 512L)], _bench.Device.Waiting.Select(w => (w.Offset, w.Length)));
        _bench.Device.End();
        _bench.AssertCurrent(read);
        _bench.Device.End(0, BlockErrno.EIO);
        _bench.Caller.AssertEnded(joined, BlockErrno.EIO);
        Assert.Equal(2, _bench.Statistics.Retries);
        Assert.Equal(0, _bench.Statistics.HeldBytes);
    }

    [Fact]
    public void Read_that_joined_one_with_a_lent_buffer_is_tried_alone_when_that_fails()
    {
        BlockRequest lender = _bench.Read(0, 8 * Granule);
        BlockRequest joined = _bench.Read(Granule);
        _bench.Device.End(0, BlockErrno.EIO);
        _bench.Caller.AssertEnded(lender, BlockErrno.EIO);
        Assert.Equal((Granule, Granule), (_bench.Device.Waiting[0].Offset, _bench.Device.Waiting[0].Length));
        _bench.EndAll();
        _bench.AssertCurrent(joined);
    }

    [Fact]
    public void Read_that_waits_for_another_is_withdrawn_and_the_other_goes_on()
    {
        BlockRequest first = _bench.Read(0);
        BlockRequest waiting = _bench.Read(0);
        waiting.IsAbandoned = true;
        Assert.True(_bench.Cache.TryWithdraw(waiting));
        _bench.Caller.AssertEnded(waiting, BlockErrno.EINTR);
        Assert.False(_bench.Cache.TryWithdraw(first));
        _bench.EndAll();
        _bench.AssertCurrent(first);
        Assert.All(waiting.Buffer.ToArray(), b => Assert.Equal(0, b));
    }

    [Fact]
    public void Read_of_which_every_caller_was_interrupted_is_abandoned_below()
    {
        BlockRequest lender = _bench.Read(0);
        BlockRequest joined = _bench.Read(0);
        BlockRequest below = _bench.Device.Waiting[0];
        lender.IsAbandoned = true;
        Assert.False(_bench.Cache.TryWithdraw(lender));
        Assert.False(below.IsAbandoned);
        joined.IsAbandoned = true;
        Assert.True(_bench.Cache.TryWithdraw(joined));
        Assert.True(below.IsAbandoned);

        // Nobody joins what may be ended by that at any time.
        BlockRequest other = _bench.Read(0);
        Assert.Equal(2, _bench.Device.Waiting.Count);
        _bench.Device.End(0, BlockErrno.EINTR);
        _bench.Caller.AssertEnded(lender, BlockErrno.EINTR);
        _bench.EndAll();
        _bench.AssertCurrent(other);
    }

    [Fact]
    public void Read_that_was_widened_for_an_interrupted_caller_is_abandoned_below()
    {
        BlockRequest read = _bench.Read(100, 100);
        read.IsAbandoned = true;
        Assert.True(_bench.Cache.TryWithdraw(read));
        _bench.Caller.AssertEnded(read, BlockErrno.EINTR);
        Assert.True(_bench.Device.Waiting[0].IsAbandoned);
        _bench.EndAll();
        _bench.AssertNotHeld(0);
    }

    [Fact]
    public void Suspended_cache_answers_nothing_from_memory()
    {
        _bench.Warm(0);
        BlockRequest underWay = _bench.Read(Granule);
        _bench.Cache.Suspend();
        Assert.Equal(0, _bench.Statistics.HeldBytes);
        _bench.Device.End(0, BlockErrno.EIO);
        _bench.Caller.AssertEnded(underWay, BlockErrno.EIO);
        for (int i = 0; i < 3; i++)
        {
            BlockRequest read = _bench.Read(0);
            _bench.Device.End(0, BlockErrno.EIO);
            _bench.Caller.AssertEnded(read, BlockErrno.EIO);
        }
    }

    [Fact]
    public void More_misses_than_the_cache_has_requests_pass_by()
    {
        BlockRequest[] reads = [.. Enumerable.Range(0, 300).Select(i => _bench.Read(i * Granule))];
        Assert.Equal(300, _bench.Device.Waiting.Count);
        _bench.EndAll();
        Assert.All(reads, _bench.AssertCurrent);
        Assert.Equal(44, _bench.Statistics.Bypassed);
    }

    [Fact]
    public void More_unaligned_misses_than_scratches_pass_by()
    {
        BlockRequest[] reads = [.. Enumerable.Range(0, 50).Select(i => _bench.Read((i * Granule) + 1, 100))];
        Assert.Equal(50, _bench.Device.Waiting.Count);
        _bench.EndAll();
        Assert.All(reads, _bench.AssertCurrent);
        Assert.Equal(18, _bench.Statistics.Bypassed);
    }

    [Fact]
    public void Full_cache_leaves_alone_who_reads_nothing_again_until_he_does()
    {
        var bench = new CacheBench(cacheBytes: 1 << 20, info: CacheBench.Info with { Size = 32 << 20 });
        int[] granules = [.. Enumerable.Range(0, 8192)];
        new Random(1).Shuffle(granules);
        foreach (int granule in granules.AsSpan(0, 2000))
        {
            bench.Warm((long)granule * CacheBench.Granule);
        }

        long before = bench.Statistics.Bypassed;
        foreach (int granule in granules.AsSpan(2000, 800))
        {
            bench.Warm((long)granule * CacheBench.Granule);
        }

        Assert.Equal(700, bench.Statistics.Bypassed - before);
        Assert.Equal(0, bench.Statistics.Hits);
        for (int round = 0; round < 60; round++)
        {
            foreach (int granule in granules.AsSpan(3000, 16))
            {
                bench.Warm((long)granule * CacheBench.Granule);
            }
        }

        before = bench.Statistics.Hits;
        foreach (int granule in granules.AsSpan(3000, 16))
        {
            bench.Warm((long)granule * CacheBench.Granule);
        }

        Assert.Equal(16, bench.Statistics.Hits - before);
    }

    [Fact]
    public void Full_cache_of_a_slow_device_looks_at_every_read()
    {
        var bench = new CacheBench(cacheBytes: 1 << 20, info: CacheBench.Info with { Size = 32 << 20 });
        for (int granule = 0; granule < 3000; granule++)
        {
            BlockRequest read = bench.Read(granule * 7919 % 8192 * (long)CacheBench.Granule);
            bench.Turn();
            bench.Clock.Microseconds += 10_000;
            bench.EndAll();
            bench.Caller.AssertEnded(read);
        }

        Assert.Equal(0, bench.Statistics.Bypassed);
    }

    [Fact]
    public void Memory_is_bounded_whatever_is_read()
    {
        for (int round = 0; round < 3; round++)
        {
            for (long offset = 0; offset < 4 << 20; offset += Granule)
            {
                _bench.Warm(offset);
                Assert.True(_bench.Statistics.HeldBytes <= 1 << 20);
            }
        }

        Assert.Equal(1 << 20, _bench.Statistics.HeldBytes);
        Assert.True(_bench.Statistics.Rejections > 0);
        Assert.True(_bench.Statistics.Evictions > 0);
    }

    [Fact]
    public void Cache_of_nothing_and_read_ahead_of_nothing_pass_everything_by_or_on()
    {
        var bench = new CacheBench(cacheBytes: 0);
        bench.Warm(0);
        bench.AssertNotHeld(0);
        Assert.Equal(0, bench.Statistics.HeldBytes);
    }

    [Fact]
    public void Clear_forgets_what_is_held_and_what_is_under_way()
    {
        _bench.Warm(0);
        BlockRequest read = _bench.Read(Granule);
        _bench.Cache.Clear();
        Assert.Equal(0, _bench.Statistics.HeldBytes);
        _bench.EndAll();
        _bench.AssertCurrent(read);
        _bench.AssertNotHeld(0);
        _bench.AssertNotHeld(Granule);
    }
}
