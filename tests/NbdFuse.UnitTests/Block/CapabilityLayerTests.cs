using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Block;

public class CapabilityLayerTests
{
    private const BlockRequestFlags Fua = BlockRequestFlags.Fua;
    private const BlockRequestFlags NoHole = BlockRequestFlags.NoHole;
    private static readonly BlockDeviceInfo All = new()
    {
        Size = 8 << 20,
        CanFlush = true,
        CanFua = true,
        CanTrim = true,
        CanWriteZeroes = true,
        CanFastZero = true,
        CanCache = true,
    };

    private readonly ReadyList _ready = new();

    [Fact]
    public void Capable_device_is_asked_for_exactly_what_the_caller_asked_for()
    {
        (DeferringDevice device, Caller caller) = Make(All);
        caller.Submit(BlockOperation.Read, 0, 512);
        caller.Submit(BlockOperation.Write, 0, 512, Fua);
        caller.Submit(BlockOperation.Flush);
        caller.Submit(BlockOperation.Trim, 0, 512, Fua);
        caller.Submit(BlockOperation.WriteZeroes, 0, 512, Fua | NoHole | BlockRequestFlags.FastZero);
        caller.Submit(BlockOperation.Cache, 0, 512);
        Assert.Equal(
            [
                new(BlockOperation.Read, 0, 0, 512),
                new(BlockOperation.Write, Fua, 0, 512),
                new(BlockOperation.Flush, 0, 0, 0),
                new(BlockOperation.Trim, Fua, 0, 512),
                new(BlockOperation.WriteZeroes, Fua | NoHole | BlockRequestFlags.FastZero, 0, 512),
                new(BlockOperation.Cache, 0, 0, 512),
            ],
            device.Seen);
    }

    [Theory]
    [InlineData(BlockOperation.Write)]
    [InlineData(BlockOperation.Trim)]
    [InlineData(BlockOperation.WriteZeroes)]
    public void Changes_of_a_read_only_device_are_EROFS(BlockOperation operation)
    {
        // Rule 58.
        (DeferringDevice device, Caller caller) = Make(All with { IsReadOnly = true });
        BlockRequest request = caller.Submit(operation, 0, 512);
        caller.AssertEnded(request, BlockErrno.EROFS);
        Assert.Empty(device.Seen);
    }

    [Fact]
    public void Flush_and_cache_that_the_device_lacks_succeed_without_it()
    {
        // Rules 69, 77.
        (DeferringDevice device, Caller caller) = Make(All with { CanFlush = false, CanCache = false });
        caller.AssertEnded(caller.Submit(BlockOperation.Flush));
        caller.AssertEnded(caller.Submit(BlockOperation.Cache, 0, 512));
        Assert.Empty(device.Seen);
    }

    [Fact]
    public void Trim_that_the_device_lacks_is_EOPNOTSUPP()
    {
        (DeferringDevice device, Caller caller) = Make(All with { CanTrim = false });
        caller.AssertEnded(caller.Submit(BlockOperation.Trim, 0, 512), BlockErrno.EOPNOTSUPP);
        Assert.Empty(device.Seen);
    }

    [Theory]
    [InlineData(BlockOperation.Write)]
    [InlineData(BlockOperation.Trim)]
    [InlineData(BlockOperation.WriteZeroes)]
    public void FUA_that_the_device_lacks_is_a_flush_sent_after_the_change_was_acknowledged(BlockOperation operation)
    {
        // Rules 56, 71, 73.
        (DeferringDevice device, Caller caller) = Make(All with { CanFua = false });
        BlockRequest request = caller.Submit(operation, 0, 512, Fua);
        Assert.Equal([new(operation, 0, 0, 512)], device.Seen);
        device.End();
        caller.AssertNotEnded(request);
        Assert.Equal(new SeenRequest(BlockOperation.Flush, 0, 0, 0), device.Seen[1]);
        device.End();
        caller.AssertEnded(request);
        Assert.Equal(2, device.Seen.Count);
    }

    [Fact]
    public void Change_whose_flush_fails_has_failed()
    {
        (DeferringDevice device, Caller caller) = Make(All with { CanFua = false });
        BlockRequest request = caller.Submit(BlockOperation.Write, 0, 512, Fua);
        device.End();
        _ready.Run();
        device.End(0, BlockErrno.EIO);
        caller.AssertEnded(request, BlockErrno.EIO);
    }

    [Fact]
    public void Change_that_fails_is_not_flushed()
    {
        (DeferringDevice device, Caller caller) = Make(All with { CanFua = false });
        BlockRequest request = caller.Submit(BlockOperation.Write, 0, 512, Fua);
        device.End(0, BlockErrno.ENOSPC);
        caller.AssertEnded(request, BlockErrno.ENOSPC);
        Assert.Single(device.Seen);
    }

    [Fact]
    public void FUA_without_FUA_and_FLUSH_is_a_plain_write()
    {
        (DeferringDevice device, Caller caller) = Make(All with { CanFua = false, CanFlush = false });
        BlockRequest request = caller.Submit(BlockOperation.Write, 0, 512, Fua);
        device.End();
        caller.AssertEnded(request);
        Assert.Equal([new(BlockOperation.Write, 0, 0, 512)], device.Seen);
    }

    [Fact]
    public void More_FUA_writes_than_contexts_all_get_their_flush()
    {
        (DeferringDevice device, Caller caller) = Make(All with { CanFua = false });
        for (int i = 0; i < 40; i++)
        {
            caller.Submit(BlockOperation.Write, i * 512, 512, Fua);
        }

        EndAll(device);
        Assert.Equal(40, caller.Ended.Distinct().Count());
        Assert.Equal(40, device.Seen.Count(seen => seen.Operation == BlockOperation.Flush));
    }

    [Fact]
    public void Zeroes_that_the_device_lacks_are_EOPNOTSUPP_when_a_hole_was_allowed()
    {
        (DeferringDevice device, Caller caller) = Make(All with { CanWriteZeroes = false });
        caller.AssertEnded(caller.Submit(BlockOperation.WriteZeroes, 0, 512), BlockErrno.EOPNOTSUPP);
        Assert.Empty(device.Seen);
    }

    [Fact]
    public void Zeroes_that_the_device_lacks_are_written_when_no_hole_was_asked_for()
    {
        // Rule 75.
        (DeferringDevice device, Caller caller) = Make(All with { CanWriteZeroes = false, CanFastZero = false });
        device.Content.Fill(0xaa);
        BlockRequest request = caller.Submit(BlockOperation.WriteZeroes, 1000, 3 << 20, NoHole | Fua | BlockRequestFlags.FastZero);
        EndAll(device);
        caller.AssertEnded(request);
        Assert.All(device.Seen, seen => Assert.Equal((BlockOperation.Write, Fua), (seen.Operation, seen.Flags)));
        PatternData.AssertZero(device.Content.Slice(1000, 3 << 20), 1000);
        Assert.Equal(0xaa, device.Content[999]);
        Assert.Equal(0xaa, device.Content[1000 + (3 << 20)]);
    }

    [Fact]
    public void Written_zeroes_with_FUA_by_flush_flush_once_at_the_end()
    {
        (DeferringDevice device, Caller caller) = Make(All with { CanWriteZeroes = false, CanFastZero = false, CanFua = false });
        BlockRequest request = caller.Submit(BlockOperation.WriteZeroes, 0, 2 << 20, NoHole | Fua);
        EndAll(device);
        caller.AssertEnded(request);
        Assert.Equal([BlockOperation.Write, BlockOperation.Write, BlockOperation.Flush], device.Seen.Select(seen => seen.Operation));
    }

    [Fact]
    public void Written_zeroes_stop_at_the_first_error_and_when_abandoned()
    {
        (DeferringDevice device, Caller caller) = Make(All with { CanWriteZeroes = false, CanFastZero = false });
        BlockRequest failing = caller.Submit(BlockOperation.WriteZeroes, 0, 4 << 20, NoHole);
        device.End(0, BlockErrno.ENOSPC);
        caller.AssertEnded(failing, BlockErrno.ENOSPC);
        BlockRequest abandoned = caller.Submit(BlockOperation.WriteZeroes, 0, 4 << 20, NoHole);
        abandoned.IsAbandoned = true;
        device.End();
        caller.AssertEnded(abandoned, BlockErrno.EINTR);
        Assert.Equal(2, device.Seen.Count);
    }

    [Fact]
    public void Fast_zeroes_that_are_not_fast_are_tried_again_the_slow_way()
    {
        // Rule 76.
        (DeferringDevice device, Caller caller) = Make(All);
        BlockRequest request = caller.Submit(BlockOperation.WriteZeroes, 0, 512, BlockRequestFlags.FastZero | NoHole);
        device.End(0, BlockErrno.EOPNOTSUPP);
        caller.AssertNotEnded(request);
        Assert.Equal(new SeenRequest(BlockOperation.WriteZeroes, NoHole, 0, 512), device.Seen[1]);
        device.End();
        caller.AssertEnded(request);
    }

    [Fact]
    public void Fast_zeroes_that_fail_otherwise_are_not_tried_again()
    {
        (DeferringDevice device, Caller caller) = Make(All);
        BlockRequest request = caller.Submit(BlockOperation.WriteZeroes, 0, 512, BlockRequestFlags.FastZero);
        device.End(0, BlockErrno.EIO);
        caller.AssertEnded(request, BlockErrno.EIO);
        Assert.Single(device.Seen);
    }

    [Fact]
    public void Fast_zero_flag_that_the_device_lacks_is_not_sent()
    {
        (DeferringDevice device, Caller caller) = Make(All with { CanFastZero = false });
        caller.Submit(BlockOperation.WriteZeroes, 0, 512, BlockRequestFlags.FastZero);
        Assert.Equal([new(BlockOperation.WriteZeroes, 0, 0, 512)], device.Seen);
    }

    [Fact]
    public void Fast_zeroes_with_FUA_by_flush_fall_back_and_flush_once()
    {
        (DeferringDevice device, Caller caller) = Make(All with { CanFua = false });
        BlockRequest request = caller.Submit(BlockOperation.WriteZeroes, 0, 512, BlockRequestFlags.FastZero | Fua);
        device.End(0, BlockErrno.EOPNOTSUPP);
        _ready.Run();
        EndAll(device);
        caller.AssertEnded(request);
        Assert.Equal(
            [
                new(BlockOperation.WriteZeroes, BlockRequestFlags.FastZero, 0, 512),
                new(BlockOperation.WriteZeroes, 0, 0, 512),
                new(BlockOperation.Flush, 0, 0, 0),
            ],
            device.Seen);
    }

    private (DeferringDevice Device, Caller Caller) Make(BlockDeviceInfo info)
    {
        var device = new DeferringDevice(info);
        return (device, new Caller(new CapabilityLayer(new ContractCheckLayer(device), _ready), _ready));
    }

    private void EndAll(DeferringDevice device)
    {
        _ready.Run();
        while (device.Held.Count > 0)
        {
            device.End();
            _ready.Run();
        }
    }
}
