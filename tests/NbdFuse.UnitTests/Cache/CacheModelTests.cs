using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.Cache;
using NbdFuse.UnitTests.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Cache;

public class CacheModelTests
{
    private static readonly BlockDeviceInfo Info = new()
    {
        Size = (4 << 20) + 1024 + 200,
        CanFlush = true,
        CanFua = true,
        CanTrim = true,
        CanWriteZeroes = true,
        CanFastZero = true,
        CanCache = true,
    };

    [Theory]
    [InlineData(1 << 20, 1 << 20, 0)]
    [InlineData(1 << 20, 1 << 20, 40)]
    [InlineData(2 << 20, 0, 40)]
    [InlineData(0, 2 << 20, 40)]
    public void Requests_in_flight_in_any_order_see_what_they_may_see(int cacheBytes, int readAheadBytes, int faultsPerMille) =>
        SeededRounds.Run(2, random =>
        {
            var ready = new ReadyList();
            var device = new RacyDevice(Info);
            BlockCache cache = Make(new ContractCheckLayer(device), ready, cacheBytes, readAheadBytes);
            var model = new CacheModel(random, device, ready, cache, new ContractCheckLayer(cache), isOrdered: false, faultsPerMille);
            model.Run(3000);
            Assert.True(cache.Statistics.Hits > 100);
        });

    [Theory]
    [InlineData(1, 0)]
    [InlineData(512, 40)]
    [InlineData(4096, 40)]
    public void Over_all_layers_overlapping_writes_keep_their_order_for_readers(int block, int faultsPerMille) =>
        SeededRounds.Run(2, random =>
        {
            var ready = new ReadyList();
            var device = new RacyDevice(Info with { MinimumBlock = block, MaximumPayload = 65536 });
            IBlockDevice stack = DeviceStack.Build(device, ready, 64, checkContract: true);
            BlockCache cache = Make(stack, ready, 1 << 20, 1 << 20);
            var model = new CacheModel(random, device, ready, cache, new ContractCheckLayer(cache), isOrdered: true, faultsPerMille);
            model.Run(3000);
            Assert.True(cache.Statistics.Hits > 100);
        });

    private static BlockCache Make(IBlockDevice lower, ReadyList ready, int cacheBytes, int readAheadBytes)
    {
        var options = new BlockCacheOptions { CacheBytes = cacheBytes, ReadAheadBytes = readAheadBytes };
        return new BlockCache(lower, ready, options, new ArrayCacheMemory(options.MemoryBytes));
    }
}
