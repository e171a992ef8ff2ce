using NbdFuse.Block;
using Xunit;
using static NbdFuse.UnitTests.Cache.CacheBench;

namespace NbdFuse.UnitTests.Cache;

/// <summary>The races between reads, what is held, and writes, one by one.</summary>
public class BlockCacheWriteTests
{
    private readonly CacheBench _bench = new();

    [Fact]
    public void Write_updates_what_is_held_and_takes_nothing_in()
    {
        _bench.Warm(0);
        BlockRequest write = _bench.Write(0, 2 * Granule);
        _bench.EndAll();
        _bench.Caller.AssertEnded(write);
        _bench.AssertHeld(0);
        _bench.AssertNotHeld(Granule);
    }

    [Fact]
    public void Read_beside_a_write_goes_down_and_is_not_kept()
    {
        _bench.Warm(0);
        BlockRequest write = _bench.Write(0);
        BlockRequest read = _bench.Read(0);
        Assert.Equal(2, _bench.Device.Waiting.Count);

        // The read is executed before the write, and its reply is late.
        _bench.Device.Execute(1);
        _bench.Device.End();
        _bench.Caller.AssertEnded(write);
        _bench.AssertHeld(0);
        _bench.Device.Reply(0);
        _bench.Caller.AssertEnded(read);
        _bench.AssertHeld(0);
    }

    [Fact]
    public void Fill_that_was_under_way_when_a_write_started_is_not_kept()
    {
        BlockRequest read = _bench.Read(0);
        BlockRequest joinedBefore = _bench.Read(0);
        _bench.Device.Execute(0);
        BlockRequest write = _bench.Write(0);
        _bench.Device.End();
        _bench.Caller.AssertEnded(write);

        // Who asks after the acknowledgement must not join the old read.
        BlockRequest late = _bench.Read(0);
        Assert.Single(_bench.Device.Waiting);
        _bench.EndAll();
        _bench.Caller.AssertEnded(read);
        _bench.Caller.AssertEnded(joinedBefore);
        _bench.AssertCurrent(late);
        _bench.AssertHeld(0);
    }

    [Fact]
    public void Fill_of_a_neighbour_in_the_widened_granule_is_tainted_too()
    {
        BlockRequest read = _bench.Read(0, 512);
        _bench.Device.Execute(0);
        _bench.Write(2048, 512);
        _bench.EndAll();
        _bench.Caller.AssertEnded(read);
        _bench.AssertNotHeld(0);
    }

    [Fact]
    public void Read_that_would_be_widened_into_a_write_under_way_is_not_kept()
    {
        _bench.Write(2048, 512);
        BlockRequest read = _bench.Read(0, 512);
        Assert.Equal((0, 512), (_bench.Device.Waiting[1].Offset, _bench.Device.Waiting[1].Length));
        _bench.Device.Execute(1);
        _bench.EndAll();
        _bench.Caller.AssertEnded(read);
        _bench.AssertNotHeld(0);
    }

    [Fact]
    public void Failed_write_makes_what_is_held_leave()
    {
        _bench.Warm(0);
        BlockRequest write = _bench.Write(0);
        _bench.Device.Execute(0, BlockErrno.EIO, hasEffect: true);
        _bench.Device.Reply(0);
        _bench.Caller.AssertEnded(write, BlockErrno.EIO);
        _bench.AssertNotHeld(0);
    }

    [Fact]
    public void Write_of_a_part_of_a_granule_makes_it_leave_and_keeps_the_whole_ones()
    {
        _bench.Warm(0, 4 * Granule);
        _bench.Write(512, (2 * Granule) + 512);
        _bench.EndAll();
        _bench.AssertHeld(Granule);
        _bench.AssertHeld(3 * Granule);
        _bench.AssertNotHeld(0);
        _bench.AssertNotHeld(2 * Granule);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Two_writes_that_overlap_leave_nothing_held_of_either(bool newerFirst)
    {
        // Without an order below it is not for the cache to say which one won.
        _bench.Warm(0, 3 * Granule);
        _bench.Write(0, 2 * Granule, 1);
        _bench.Write(Granule, 2 * Granule, 2);
        _bench.Device.Execute(newerFirst ? 1 : 0);
        _bench.Device.Execute(0);
        _bench.Device.Reply(1);
        _bench.Ready.Run();
        _bench.Device.Reply(0);
        _bench.Ready.Run();
        _bench.AssertNotHeld(0);
        _bench.AssertNotHeld(Granule);
        _bench.AssertNotHeld(2 * Granule);
    }

    [Theory]
    [InlineData(BlockOperation.Trim)]
    [InlineData(BlockOperation.WriteZeroes)]
    public void Trim_and_zeroes_make_their_range_leave_and_nothing_else(BlockOperation operation)
    {
        _bench.Warm(0, 4 * Granule);
        BlockRequest request = _bench.Caller.Submit(operation, Granule, 2 * Granule);
        _bench.EndAll();
        _bench.Caller.AssertEnded(request);
        _bench.AssertHeld(0);
        _bench.AssertHeld(3 * Granule);
        _bench.AssertNotHeld(Granule, 2 * Granule);
        Assert.Equal(2, _bench.Statistics.Invalidations);
    }

    [Fact]
    public void Trim_of_the_whole_device_empties_the_cache()
    {
        var bench = new CacheBench(info: Info with { Size = 1 << 22 });
        bench.Warm(0, 4 * Granule);
        bench.Caller.Submit(BlockOperation.Trim, 0, 1 << 22);
        Assert.Equal(0, bench.Statistics.HeldBytes);
        bench.EndAll();
        bench.AssertNotHeld(0);
    }

    [Fact]
    public void Range_of_an_abandoned_write_stays_out_until_it_is_drained()
    {
        _bench.Warm(0);
        BlockRequest write = _bench.Write(0);
        write.IsAbandoned = true;
        Assert.False(_bench.Cache.TryWithdraw(write));
        BlockRequest before = _bench.Read(0);
        _bench.Device.End(1);
        _bench.Caller.AssertEnded(before);
        BlockRequest again = _bench.Read(0);
        Assert.Equal(2, _bench.Device.Waiting.Count);
        _bench.EndAll();
        _bench.Caller.AssertEnded(again);
        _bench.AssertHeld(0);
    }

    [Fact]
    public void Granule_that_is_written_keeps_its_place_but_may_be_evicted_meanwhile()
    {
        for (int i = 0; i < 256; i++)
        {
            _bench.Warm(i * Granule);
        }

        BlockRequest write = _bench.Write(255 * Granule);
        for (int round = 0; round < 4; round++)
        {
            for (int i = 300; i < 900; i++)
            {
                BlockRequest read = _bench.Read(i * Granule);
                if (_bench.Device.Waiting.Count > 1)
                {
                    _bench.Device.End(1);
                }

                _bench.Caller.AssertEnded(read);
            }
        }

        _bench.EndAll();
        _bench.Caller.AssertEnded(write);
        for (int i = 0; i < 900; i++)
        {
            BlockRequest read = _bench.Read(i * Granule);
            _bench.EndAll();
            _bench.AssertCurrent(read);
        }
    }

    [Fact]
    public void Flush_and_fua_pass()
    {
        _bench.Caller.Submit(BlockOperation.Flush);
        _bench.Caller.Submit(BlockOperation.Cache, 0, 1 << 20);
        _bench.Caller.Write(0, new byte[512], BlockRequestFlags.Fua);
        Assert.Equal(
            [BlockOperation.Flush, BlockOperation.Cache, BlockOperation.Write], _bench.Device.Waiting.Select(request => request.Operation));
        Assert.Equal(BlockRequestFlags.Fua, _bench.Device.Waiting[2].Flags);
        _bench.EndAll();
        Assert.Equal(0, _bench.Caller.InFlight);
    }
}
