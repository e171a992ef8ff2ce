using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.Cache;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Cache;

public class BlockCacheConformanceTests
{
    private static readonly BlockDeviceInfo Info = CacheBench.Info with { Size = (8 << 20) + 77 };

    public static TheoryData<string> Names => BlockConformance.Names;

    public static TheoryData<string> ReadOnlyNames => BlockConformance.ReadOnlyNames;

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Cache_alone_behaves_like_every_other_device(string name)
    {
        var ready = new ReadyList();
        IBlockDevice cache = Make(new ContractCheckLayer(new MemoryBlockDevice(Info)), ready);
        await BlockConformance.RunAsync(name, new DirectConformanceTarget(new ContractCheckLayer(cache), ready));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Cache_over_all_layers_behaves_like_every_other_device(string name)
    {
        var ready = new ReadyList();
        var device = new MemoryBlockDevice(Info with { MinimumBlock = 512, MaximumPayload = 65536 });
        IBlockDevice cache = Make(DeviceStack.Build(device, ready, 4096, checkContract: true), ready);
        await BlockConformance.RunAsync(
            name, new DirectConformanceTarget(new ContractCheckLayer(cache), ready) { LargeTransfer = 3 << 20 });
    }

    [Theory]
    [MemberData(nameof(ReadOnlyNames))]
    public async Task Cache_over_a_read_only_stack_behaves_like_every_other(string name)
    {
        var ready = new ReadyList();
        var device = new MemoryBlockDevice(Info with { IsReadOnly = true, MinimumBlock = 4096 });
        IBlockDevice cache = Make(DeviceStack.Build(device, ready, 4096), ready);
        await BlockConformance.RunAsync(name, new DirectConformanceTarget(cache, ready));
    }

    private static BlockCache Make(IBlockDevice lower, ReadyList ready)
    {
        var options = new BlockCacheOptions
        {
            CacheBytes = 1 << 20,
            ReadAheadBytes = 1 << 20,
            Prefetch = AccessTrace.Of(lower.Info.Size, [.. Enumerable.Range(0, (int)(lower.Info.Size >> 12)).Select(granule => ((long)granule, 1))]),
            PrefetchBytes = 2 << 20,
        };
        return new BlockCache(lower, ready, options, new ArrayCacheMemory(options.MemoryBytes));
    }
}
