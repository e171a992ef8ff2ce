using NbdFuse.Block;
using NbdFuse.Cli;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Cli;

public sealed class ExportCacheTests
{
    private readonly ReadyList _ready = new();

    [Fact]
    public void Nothing_stands_in_between_when_both_sizes_are_0()
    {
        Assert.Null(ExportCache.Over(new MemoryBlockDevice(1 << 20), _ready, 0, 0));
    }

    [Theory]
    [InlineData(1L << 20, 0L)]
    [InlineData(0L, 1L << 20)]
    [InlineData(null, null)]
    public async Task Cache_in_native_memory_behaves_like_every_other_device(long? cacheBytes, long? readAheadBytes)
    {
        IBlockDevice stack = DeviceStack.Build(new MemoryBlockDevice(8 << 20), _ready, 256, checkContract: true);
        using ExportCache? cache = ExportCache.Over(stack, _ready, cacheBytes, readAheadBytes);
        Assert.NotNull(cache);
        await BlockConformance.RunAsync("random_model", new DirectConformanceTarget(cache.Device, _ready));
        Assert.NotEqual(0, cache.Device.Statistics.Misses);
    }
}
