using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Server;

/// <summary>The conformance list over memory: alone, under every layer, and behind a queue on a loop.</summary>
public sealed class MemoryConformanceTests
{
    private const int Size = (8 << 20) + 512;

    public static TheoryData<string> Names => BlockConformance.Names;

    public static TheoryData<string> ReadOnlyNames => BlockConformance.ReadOnlyNames;

    [Theory]
    [MemberData(nameof(Names))]
    public Task Memory_device(string name)
    {
        var ready = new ReadyList();
        return BlockConformance.RunAsync(name, new DirectConformanceTarget(new MemoryBlockDevice(Size), ready));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public Task All_layers_over_blocks_of_4096_bytes(string name)
    {
        var ready = new ReadyList();
        var device = new MemoryBlockDevice(new BlockDeviceInfo
        {
            Size = 8 << 20,
            MinimumBlock = 4096,
            MaximumPayload = 64 * 1024,
            CanFlush = true,
            CanWriteZeroes = true,
            CanTrim = true,
        });
        IBlockDevice stack = DeviceStack.Build(device, ready, capacity: 1024, checkContract: true);
        return BlockConformance.RunAsync(name, new DirectConformanceTarget(stack, ready) { LargeTransfer = 4 << 20 });
    }

    [Theory]
    [MemberData(nameof(ReadOnlyNames))]
    public Task Read_only_memory_device(string name)
    {
        var ready = new ReadyList();
        var device = new MemoryBlockDevice(new BlockDeviceInfo { Size = Size, IsReadOnly = true });

        // No contract check: that front ends keep writes away from it is one, and this test is about the other line of defence.
        IBlockDevice stack = DeviceStack.Build(device, ready, capacity: 256);
        return BlockConformance.RunAsync(name, new DirectConformanceTarget(stack, ready));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Request_queue_on_a_loop(string name)
    {
        using var loop = new EventLoop("conformance", new EventLoopOptions { SpinMicroseconds = 0 });
        loop.Start();
        var ready = new ReadyList();
        IBlockDevice stack = DeviceStack.Build(new MemoryBlockDevice(Size), ready, capacity: 16);
        using var target = new LoopConformanceTarget(loop, new RequestQueue(stack, ready, new RequestQueueOptions { Capacity = 16 }));
        await BlockConformance.RunAsync(name, target);
    }
}
