using NbdFuse.Block;
using NbdFuse.Cli;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Cli;

public sealed class ExportCacheTests
{
    private readonly ReadyList _ready = new();

    [Fact]
    public void Nothing_stands_in_between_when_both_are_off()
    {
        Assert.Null(ExportCache.Over(new MemoryBlockDevice(1 << 20), new BlockDeviceInfo { Size = 1 << 20 }, _ready, 0, 0));
    }

    [Fact]
    public void Export_that_only_takes_larger_blocks_is_served_without_unless_it_was_asked_for()
    {
        var info = new BlockDeviceInfo { Size = 1 << 20, MinimumBlock = 65536 };
        Assert.Null(ExportCache.Over(new MemoryBlockDevice(info), info, _ready, null, null));
        Assert.Throws<ArgumentException>(() => ExportCache.Over(new MemoryBlockDevice(info), info, _ready, 1 << 20, null));
    }

    [Theory]
    [InlineData(null, null)]
    [InlineData(1L << 20, 0L)]
    [InlineData(0L, 1L << 20)]
    [InlineData(1L << 20, 1L << 20)]
    public async Task Cache_in_native_memory_behaves_like_every_other_device(long? cacheBytes, long? readAheadBytes)
    {
        IBlockDevice stack = DeviceStack.Build(new MemoryBlockDevice(8 << 20), _ready, 256, checkContract: true);
        using ExportCache? cache = ExportCache.Over(stack, stack.Info, _ready, cacheBytes, readAheadBytes);
        Assert.NotNull(cache);
        await BlockConformance.RunAsync("random_model", new DirectConformanceTarget(cache.Device, _ready));
        Assert.NotEqual(0, cache.Device.Statistics.Misses);
    }
}
