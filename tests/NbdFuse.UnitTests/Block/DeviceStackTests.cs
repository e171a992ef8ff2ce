using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Block;

public class DeviceStackTests : IBlockCompletion
{
    private static readonly BlockDeviceInfo Full = new()
    {
        Size = 1 << 20,
        CanFlush = true,
        CanFua = true,
        CanTrim = true,
        CanWriteZeroes = true,
        CanFastZero = true,
        CanCache = true,
    };

    private int _errors;

    public static TheoryData<string> Variants { get; } = [.. Devices.Keys];

    public static TheoryData<string, string> Conformance { get; } =
        new([.. from device in Devices
                from name in BlockConformance.All.Keys
                where name != "read_only_refuses_writes"
                    && (device.Value.CanWriteZeroes || !HoleCases.Contains(name))
                    && (device.Value.CanTrim || !name.StartsWith("trim", StringComparison.Ordinal))
                select (device.Key, name)]);

    /// <summary>Cases that need zeroes which may be a hole: a device without WRITE_ZEROES can't promise them.</summary>
    private static string[] HoleCases =>
        ["zeroes_read_back_as_zeroes", "zeroes_at_odd_offsets", "write_after_zeroes", "random_model"];

    private static Dictionary<string, BlockDeviceInfo> Devices => new()
    {
        ["plain"] = Full,
        ["blocks of 512"] = Full with { MinimumBlock = 512 },
        ["blocks of 512, odd size"] = Full with { MinimumBlock = 512, Size = (1 << 20) + 77 },
        ["blocks of 4096, odd size, small payload"] = Full with { MinimumBlock = 4096, MaximumPayload = 8192, Size = (1 << 20) + 513 },
        ["blocks of 65536"] = Full with { MinimumBlock = 65536, MaximumPayload = 65536, MaximumZeroes = 131072 },
        ["small payload"] = Full with { MaximumPayload = 1000, MaximumZeroes = 5000 },
        ["no FUA"] = Full with { CanFua = false, MinimumBlock = 512 },
        ["no FUA, no FLUSH"] = Full with { CanFua = false, CanFlush = false },
        ["no zeroes"] = Full with { CanWriteZeroes = false, CanFastZero = false, MinimumBlock = 4096, MaximumPayload = 4096 },
        ["no trim, no cache, no fast zero"] = Full with { CanTrim = false, CanCache = false, CanFastZero = false },
        ["nothing"] = new BlockDeviceInfo { Size = 1 << 20 },
    };

    [Theory]
    [MemberData(nameof(Variants))]
    public void Random_operations_over_a_device_that_answers_in_any_order_agree_with_an_array(string variant) => SeededRounds.Run(15, random =>
    {
        BlockDeviceInfo info = Devices[variant];
        var ready = new ReadyList();
        var device = new DeferringDevice(info);
        IBlockDevice stack = DeviceStack.Build(device, ready, 1000, checkContract: true);
        var caller = new Caller(stack, ready);
        byte[] model = new byte[info.Size];
        List<(BlockRequest Request, byte[] Expected)> reads = [];
        for (int step = 0; step < 200; step++)
        {
            long offset = random.Next((int)info.Size);
            long length = random.Next(1, (int)Math.Min(info.Size - offset, random.Next(3) == 0 ? 300_000 : 5000) + 1);
            BlockRequestFlags fua = random.Next(3) == 0 ? BlockRequestFlags.Fua : 0;
            Span<byte> range = model.AsSpan((int)offset, (int)length);
            switch (random.Next(6))
            {
                case 0 or 1:
                    byte[] data = PatternData.Create((ulong)step, offset, (int)length);
                    data.CopyTo(range);
                    caller.Write(offset, data, fua);
                    break;
                case 2:
                    BlockRequestFlags fast = random.Next(2) == 0 ? BlockRequestFlags.FastZero : 0;
                    range.Clear();
                    caller.Submit(BlockOperation.WriteZeroes, offset, length, BlockRequestFlags.NoHole | fua | fast);
                    break;
                case 3:
                    caller.Submit(BlockOperation.Flush);
                    caller.Submit(BlockOperation.Cache, offset, length);
                    break;
                default:
                    // A READ beside a WRITE may see either: only a quiet device has one right answer.
                    Drain();
                    BlockRequest read = caller.Submit(BlockOperation.Read, offset, length);
                    reads.Add((read, range.ToArray()));
                    Drain();
                    break;
            }

            ready.Run();
            for (int i = random.Next(3); i > 0 && device.Held.Count > 0; i--)
            {
                device.End(random.Next(device.Held.Count));
                ready.Run();
            }
        }

        Drain();
        Assert.Equal(0, caller.InFlight);
        Assert.All(caller.Ended, request => Assert.Equal(0, request.Error));
        Assert.Equal(caller.Ended.Count, caller.Ended.Distinct().Count());
        foreach ((BlockRequest request, byte[] expected) in reads)
        {
            PatternData.AssertEqual(expected, request.Buffer.Span, request.Offset);
        }

        PatternData.AssertEqual(model, device.Content);

        void Drain()
        {
            ready.Run();
            while (device.Held.Count > 0)
            {
                device.End(random.Next(device.Held.Count));
                ready.Run();
            }
        }
    });

    [Theory]
    [MemberData(nameof(Conformance))]
    public async Task Stack_behaves_like_every_other(string variant, string name)
    {
        var ready = new ReadyList();
        BlockDeviceInfo info = Devices[variant];
        var device = new MemoryBlockDevice(info with { Size = info.Size + (7 << 20) });
        IBlockDevice stack = DeviceStack.Build(device, ready, 4096, checkContract: true);
        await BlockConformance.RunAsync(name, new DirectConformanceTarget(stack, ready) { LargeTransfer = 3 << 20 });
    }

    [Theory]
    [InlineData("read_past_the_end")]
    [InlineData("reads_agree_with_each_other")]
    [InlineData("read_only_refuses_writes")]
    public async Task Read_only_stack_behaves_like_every_other(string name)
    {
        var ready = new ReadyList();
        var device = new MemoryBlockDevice(Full with { Size = 8 << 20, IsReadOnly = true, MinimumBlock = 512 });
        IBlockDevice stack = DeviceStack.Build(device, ready, 4096);
        await BlockConformance.RunAsync(name, new DirectConformanceTarget(stack, ready));
    }

    [Fact]
    public void Layers_that_a_device_does_not_need_are_left_out()
    {
        var ready = new ReadyList();
        Assert.IsType<OrderingLayer>(DeviceStack.Build(new MemoryBlockDevice(Full), ready, 16));
        Assert.IsType<CapabilityLayer>(DeviceStack.Build(new MemoryBlockDevice(Full with { IsReadOnly = true }), ready, 16));
        Assert.IsType<ContractCheckLayer>(DeviceStack.Build(new MemoryBlockDevice(Full), ready, 16, checkContract: true));
    }

    [Fact]
    public void EndTurn_reaches_the_device()
    {
        var device = new DeferringDevice(Full with { MinimumBlock = 512 });
        DeviceStack.Build(device, new ReadyList(), 16, checkContract: true).EndTurn();
        Assert.Equal(1, device.Turns);
    }

    [Theory]
    [InlineData(1, 32 << 20)]
    [InlineData(4096, 8192)]
    public void Nothing_is_allocated_per_request(int block, int maximumPayload)
    {
        var ready = new ReadyList();
        var device = new MemoryBlockDevice(Full with { MinimumBlock = block, MaximumPayload = maximumPayload, CanFua = false });
        var queue = new RequestQueue(DeviceStack.Build(device, ready, 64), ready, new RequestQueueOptions { Capacity = 64 });
        byte[] buffer = new byte[65536];
        Rounds(50);

        // The runtime itself allocates now and then; what requests cost shows in every window.
        long least = long.MaxValue;
        for (int window = 0; window < 5; window++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Rounds(100);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
        Assert.Equal(0, _errors);
        Assert.True(queue.IsIdle);

        void Rounds(int count)
        {
            for (int round = 0; round < count; round++)
            {
                // Overlapping, unaligned, long and short ones, every kind, so that every layer has work and queues.
                for (int i = 0; i < 40; i++)
                {
                    queue.TryRent(out BlockRequest? request);
                    request!.Operation = (BlockOperation)(i % 6);
                    request.Flags = request.Operation switch
                    {
                        BlockOperation.Write => BlockRequestFlags.Fua,
                        BlockOperation.WriteZeroes => BlockRequestFlags.Fua | BlockRequestFlags.NoHole | BlockRequestFlags.FastZero,
                        _ => 0,
                    };
                    request.Owner = this;
                    request.OwnerState = queue;
                    if (request.Operation != BlockOperation.Flush)
                    {
                        request.Offset = (i / 6 * 10_000) + round;
                        request.Length = i % 4 == 0 ? 60_000 : 700;
                    }

                    if (request.Operation is BlockOperation.Read or BlockOperation.Write)
                    {
                        request.Buffer = buffer.AsMemory(0, (int)request.Length);
                    }

                    queue.Submit(request, 0);
                }

                queue.EndTurn();
                ready.Run();
            }
        }
    }

    public bool OnCompleted(BlockRequest request, long state)
    {
        _errors += request.Error == 0 ? 0 : 1;
        ((RequestQueue)request.OwnerState!).Return(request);
        return false;
    }
}
