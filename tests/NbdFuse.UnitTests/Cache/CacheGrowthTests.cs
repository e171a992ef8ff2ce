using NbdFuse.Block;
using NbdFuse.TestKit;
using Xunit;
using static NbdFuse.UnitTests.Cache.CacheBench;

namespace NbdFuse.UnitTests.Cache;

/// <summary>A device that grows under the cache: its last granule was shorter than the others.</summary>
public sealed class CacheGrowthTests
{
    private const int Grown = 8 << 20;
    private readonly CacheBench _bench = new(readAheadBytes: 1 << 20);

    [Fact]
    public void Last_granule_is_read_anew_when_it_has_become_longer()
    {
        int last = (int)Info.Size - 100;
        _bench.Warm(last, 100);
        Grow();
        BlockRequest read = _bench.Read(last);
        _bench.EndAll();
        _bench.AssertCurrent(read);
        _bench.AssertHeld(last);
        BlockRequest end = _bench.Read(Grown - Granule);
        _bench.EndAll();
        _bench.AssertCurrent(end);
    }

    [Fact]
    public void Read_that_was_under_way_is_answered_and_not_kept()
    {
        int last = (int)Info.Size - 100;
        BlockRequest read = _bench.Read(last + 10, 50);
        Grow();
        _bench.EndAll();
        _bench.AssertCurrent(read);
        _bench.AssertNotHeld(last);
    }

    [Fact]
    public void Write_that_was_under_way_is_seen()
    {
        int last = (int)Info.Size - 100;
        _bench.Warm(last, 100);
        BlockRequest write = _bench.Write(last, 100);
        Grow();
        _bench.EndAll();
        _bench.Caller.AssertEnded(write);
        BlockRequest read = _bench.Read(last);
        _bench.EndAll();
        _bench.AssertCurrent(read);
        Assert.Equal(0x77, read.Buffer.Span[0]);
    }

    private void Grow()
    {
        int before = (int)Info.Size;
        _bench.Device.Grow(Grown);
        PatternData.Fill(_bench.Device.Content[before..], 5, 0);
        _bench.Cache.AdoptSize();
    }
}
