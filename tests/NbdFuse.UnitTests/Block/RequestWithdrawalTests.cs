using NbdFuse.Block;
using NbdFuse.Block.Layers;
using Xunit;

namespace NbdFuse.UnitTests.Block;

public sealed class RequestWithdrawalTests : IBlockCompletion
{
    private const int Block = 512;
    private readonly ReadyList _ready = new();
    private readonly DeferringDevice _device = new(new BlockDeviceInfo { Size = 1 << 20 });
    private readonly List<BlockRequest> _ended = [];

    public bool OnCompleted(BlockRequest request, long state)
    {
        _ended.Add(request);
        return false;
    }

    private BlockRequest Write(RequestQueue queue, long offset, int length)
    {
        Assert.True(queue.TryRent(out BlockRequest? request));
        request.Owner = this;
        request.Operation = BlockOperation.Write;
        request.Offset = offset;
        request.Length = length;
        request.Buffer = new byte[length];
        queue.Submit(request, 0);
        return request;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Abandoned_write_that_waits_for_another_ends_though_the_server_is_silent(bool checkContract)
    {
        RequestQueue queue = new(DeviceStack.Build(_device, _ready, 8, checkContract), _ready, new RequestQueueOptions { Capacity = 8 });
        BlockRequest first = Write(queue, 0, Block);
        BlockRequest waiting = Write(queue, 0, 2 * Block);
        BlockRequest behind = Write(queue, Block, Block);
        Assert.Equal([first], _device.Held);

        queue.Abandon(waiting);
        _ready.Run();
        Assert.Equal([waiting], _ended);
        Assert.Equal(BlockErrno.EINTR, waiting.Error);

        // What waited for that one alone goes on.
        Assert.Equal([first, behind], _device.Held);
    }

    [Fact]
    public void Abandoned_write_that_was_passed_down_is_not_withdrawn()
    {
        OrderingLayer ordering = new(_device, 8, Block);
        RequestQueue queue = new(ordering, _ready, new RequestQueueOptions { Capacity = 8 });
        BlockRequest first = Write(queue, 0, Block);
        queue.Abandon(first);
        _ready.Run();
        Assert.Empty(_ended);
        Assert.False(ordering.TryWithdraw(first));
        _device.End();
        _ready.Run();
        Assert.Equal([first], _ended);
        Assert.False(ordering.TryWithdraw(first));
    }
}
