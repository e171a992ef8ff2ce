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
    [InlineData(1 << 20, 1 << 20, 0, true)]
    [InlineData(1 << 20, 0, 2, true)]
    [InlineData(0, 1 << 20, 2, true)]
    [InlineData(0, 0, 2, true)]
    [InlineData(0, 1 << 20, 40, false, true)]
    [InlineData(1 << 20, 1 << 20, 2, true, true)]
    public void Requests_in_flight_in_any_order_see_what_they_may_see(
        int cacheBytes, int readAheadBytes, int faultsPerMille, bool prefetches = false, bool readsAround = false) =>
        SeededRounds.Run(2, random =>
        {
            var ready = new ReadyList();
            var device = new RacyDevice(Info);
            BlockCache cache = Make(new ContractCheckLayer(device), ready, cacheBytes, readAheadBytes, prefetches ? Trace(random) : null, readsAround);
            var model = new CacheModel(random, device, ready, cache, new ContractCheckLayer(cache), isOrdered: false, faultsPerMille);
            model.Run(3000);
            Assert.True(cache.Statistics.Hits > (prefetches ? 10 : 100));
            Assert.True(!prefetches || cache.Statistics.UsedPrefetchedBytes > 0);
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

    // All of the device, in pieces of any length and in any order.
    private static AccessTrace Trace(Random random)
    {
        long granules = (Info.Size + 4095) / 4096;
        var reads = new List<(long Granule, int Count)>();
        for (long granule = 0; granule < granules;)
        {
            int count = (int)Math.Min(granules - granule, random.Next(1, 40));
            reads.Add((granule, count));
            granule += count;
        }

        (long Granule, int Count)[] shuffled = [.. reads];
        random.Shuffle(shuffled);
        return AccessTrace.Of(Info.Size, shuffled);
    }

    private static BlockCache Make(IBlockDevice lower, ReadyList ready, int cacheBytes, int readAheadBytes, AccessTrace? trace = null, bool readsAround = false)
    {
        var options = new BlockCacheOptions
        {
            CacheBytes = cacheBytes,
            ReadAheadBytes = readAheadBytes,
            Prefetch = trace,
            PrefetchBytes = 1 << 20,
            AroundAboveMicroseconds = readsAround ? 0 : null,
        };
        return new BlockCache(lower, ready, options, new ArrayCacheMemory(options.MemoryBytes));
    }
}
