using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.UnitTests.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Block;

public class OrderingLayerTests
{
    private const int Block = 4096;
    private readonly ReadyList _ready = new();
    private readonly DeferringDevice _device = new(new BlockDeviceInfo { Size = 1 << 20, CanFlush = true, CanTrim = true, CanWriteZeroes = true });
    private readonly OrderingLayer _layer;
    private readonly Caller _caller;

    public OrderingLayerTests()
    {
        _layer = new OrderingLayer(_device, 256, Block);
        _caller = new Caller(_layer, _ready);
    }

    [Theory]
    [InlineData(BlockOperation.Write)]
    [InlineData(BlockOperation.Trim)]
    [InlineData(BlockOperation.WriteZeroes)]
    public void Change_that_overlaps_one_in_flight_is_held_until_that_has_ended(BlockOperation second)
    {
        BlockRequest first = _caller.Submit(BlockOperation.Write, 0, 2 * Block);
        BlockRequest held = _caller.Submit(second, Block, Block);
        Assert.Equal([first], _device.Held);
        Assert.Equal(1, _layer.Waiting);
        _device.End(0, BlockErrno.EIO);
        _caller.AssertEnded(first, BlockErrno.EIO);
        Assert.Equal([held], _device.Held);
        _device.End();
        _caller.AssertEnded(held);
        Assert.Equal(0, _layer.Waiting);
    }

    [Fact]
    public void Changes_that_do_not_overlap_run_in_parallel()
    {
        for (int i = 0; i < 8; i++)
        {
            _caller.Submit(BlockOperation.Write, i * Block, Block);
        }

        Assert.Equal(8, _device.Held.Count);
        Assert.Equal(0, _layer.Waiting);
    }

    [Fact]
    public void Reads_and_flushes_are_never_held()
    {
        _caller.Submit(BlockOperation.Write, 0, Block);
        _caller.Submit(BlockOperation.Read, 0, Block);
        _caller.Submit(BlockOperation.Flush);
        _caller.Submit(BlockOperation.Cache, 0, Block);
        Assert.Equal(4, _device.Held.Count);
    }

    [Fact]
    public void Ranges_are_widened_to_blocks()
    {
        _caller.Submit(BlockOperation.Write, 0, 1);
        BlockRequest sameBlock = _caller.Submit(BlockOperation.Write, Block - 1, 1);
        BlockRequest nextBlock = _caller.Submit(BlockOperation.Write, Block, 1);
        Assert.DoesNotContain(sameBlock, _device.Held);
        Assert.Contains(nextBlock, _device.Held);
    }

    [Fact]
    public void Chain_of_overlaps_keeps_its_order()
    {
        // C overlaps B, which waits for A; C does not overlap A, and must wait all the same.
        _caller.Submit(BlockOperation.Write, 0, Block);
        BlockRequest b = _caller.Submit(BlockOperation.Write, 0, 2 * Block);
        BlockRequest c = _caller.Submit(BlockOperation.Write, Block, Block);
        Assert.Single(_device.Held);
        _device.End();
        _ready.Run();
        Assert.Equal([b], _device.Held);
        _device.End();
        _ready.Run();
        Assert.Equal([c], _device.Held);
    }

    [Fact]
    public void Abandoned_change_that_waits_is_withdrawn_without_reaching_the_device()
    {
        BlockRequest first = _caller.Submit(BlockOperation.Write, 0, Block);
        BlockRequest waiting = _caller.Submit(BlockOperation.Write, 0, Block);
        BlockRequest last = _caller.Submit(BlockOperation.Write, 0, Block);
        waiting.IsAbandoned = true;
        _device.End();
        _caller.AssertEnded(first);
        _caller.AssertEnded(waiting, BlockErrno.EINTR);
        Assert.Equal([last], _device.Held);
        Assert.Equal(2, _device.Seen.Count);
    }

    [Fact]
    public void Abandoned_change_in_flight_still_holds_what_overlaps()
    {
        BlockRequest first = _caller.Submit(BlockOperation.Write, 0, Block);
        first.IsAbandoned = true;
        BlockRequest second = _caller.Submit(BlockOperation.Write, 0, Block);
        Assert.Equal([first], _device.Held);
        _device.End();
        _ready.Run();
        Assert.Equal([second], _device.Held);
    }

    [Fact]
    public void Last_block_of_the_largest_device_does_not_overflow()
    {
        var device = new DeferringDevice(new BlockDeviceInfo { Size = long.MaxValue });
        var caller = new Caller(new OrderingLayer(device, 16, 65536), _ready);
        caller.Submit(BlockOperation.Write, long.MaxValue - 1, 1);
        caller.Submit(BlockOperation.Write, long.MaxValue - 2, 1);
        caller.Submit(BlockOperation.Write, long.MaxValue - 100_000, 1);
        Assert.Equal(2, device.Held.Count);
    }

    [Fact]
    public void Block_size_that_is_no_power_of_two_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new OrderingLayer(_device, 1, 1000));

    [Fact]
    public void Random_changes_never_overlap_in_flight_and_overlapping_ones_keep_their_order() => SeededRounds.Run(200, random =>
    {
        var ready = new ReadyList();
        var device = new DeferringDevice(new BlockDeviceInfo { Size = 64 * Block, CanTrim = true });
        var caller = new Caller(new OrderingLayer(device, 1000, Block), ready);
        List<BlockRequest> submitted = [];
        List<BlockRequest> reached = [];
        int seen = 0;
        for (int step = 0; step < 150 || device.Held.Count > 0; step++)
        {
            if (step < 100 && random.Next(2) == 0)
            {
                long offset = random.Next(64 * Block);
                submitted.Add(caller.Submit(BlockOperation.Trim, offset, random.Next(1, (int)Math.Min(64 * Block - offset, 5 * Block) + 1)));
            }
            else if (device.Held.Count > 0)
            {
                device.End(random.Next(device.Held.Count), random.Next(4) == 0 ? BlockErrno.EIO : 0);
                ready.Run();
            }

            if (random.Next(10) == 0 && submitted.Count > 0)
            {
                submitted[random.Next(submitted.Count)].IsAbandoned = true;
            }

            reached.AddRange(device.Held.Skip(device.Held.Count - (device.Seen.Count - seen)));
            seen = device.Seen.Count;
            for (int i = 0; i < device.Held.Count; i++)
            {
                for (int j = 0; j < i; j++)
                {
                    Assert.False(Overlap(device.Held[i], device.Held[j]));
                }
            }
        }

        Assert.Equal(0, caller.InFlight);
        Assert.Equal(submitted.Count, caller.Ended.Distinct().Count());
        Assert.Equal(submitted.Count, caller.Ended.Count);
        for (int i = 0; i < reached.Count; i++)
        {
            for (int j = 0; j < i; j++)
            {
                Assert.True(!Overlap(reached[i], reached[j]) || reached[j].Tag < reached[i].Tag);
            }
        }

        Assert.All(submitted.Except(reached), request => Assert.True(request.IsAbandoned && request.Error == BlockErrno.EINTR));
    });

    private static bool Overlap(BlockRequest a, BlockRequest b) =>
        a.Offset / Block <= (b.End - 1) / Block && b.Offset / Block <= (a.End - 1) / Block;
}
