using NbdFuse.Block;
using Xunit;

namespace NbdFuse.UnitTests.Block;

public class BlockRequestTests
{
    private readonly ReadyList _ready = new();

    [Fact]
    public void Completion_runs_from_the_ready_list_and_not_inside_Complete()
    {
        var device = new MemoryBlockDevice(4096);
        var caller = new Caller(device, _ready);
        BlockRequest request = caller.Submit(BlockOperation.Read, 0, 512);
        Assert.Empty(caller.Ended);
        caller.AssertEnded(request);
    }

    [Fact]
    public void Request_that_ends_twice_throws()
    {
        var device = new DeferringDevice(new BlockDeviceInfo { Size = 4096 });
        var caller = new Caller(device, _ready);
        BlockRequest request = caller.Submit(BlockOperation.Read, 0, 512);
        device.End();
        Assert.Throws<InvalidOperationException>(() => request.Complete(0));
        caller.AssertEnded(request);
        Assert.Throws<InvalidOperationException>(() => request.Complete(0));
    }

    [Fact]
    public void Slot_in_flight_or_on_the_ready_list_cannot_be_reset()
    {
        var device = new DeferringDevice(new BlockDeviceInfo { Size = 4096 });
        var caller = new Caller(device, _ready);
        BlockRequest request = caller.Submit(BlockOperation.Read, 0, 512);
        Assert.Throws<InvalidOperationException>(request.Reset);
        device.End();
        Assert.Throws<InvalidOperationException>(request.Reset);
        _ready.Run();
        request.Reset();
    }

    [Fact]
    public void Reset_clears_everything_that_the_last_use_left()
    {
        var request = new BlockRequest(_ready, 3)
        {
            Operation = BlockOperation.Write,
            Flags = BlockRequestFlags.Fua,
            Offset = 1,
            Length = 2,
            Buffer = new byte[2],
            Token = 4,
            Owner = new Caller(new MemoryBlockDevice(1), _ready),
            OwnerState = "x",
            IsAbandoned = true,
            IsDelivered = true,
            StartedMs = 5,
        };
        request.SetError(5);
        Assert.True(request.TryClaimAnswer());
        request.Reset();
        Assert.Equal(BlockOperation.Read, request.Operation);
        Assert.Equal(BlockRequestFlags.None, request.Flags);
        Assert.Equal(0, request.Offset + request.Length + request.Buffer.Length + request.Error + request.StartedMs);
        Assert.Equal(0ul, request.Token);
        Assert.Null(request.Owner);
        Assert.Null(request.OwnerState);
        Assert.False(request.IsAbandoned || request.IsDelivered);
        Assert.Equal(3, request.Tag);
        Assert.True(request.TryClaimAnswer());
    }

    [Fact]
    public void Answer_is_claimed_by_exactly_one_thread()
    {
        var request = new BlockRequest(_ready, 0);
        int claims = 0;
        Parallel.For(0, 64, _ => Interlocked.Add(ref claims, request.TryClaimAnswer() ? 1 : 0));
        Assert.Equal(1, claims);
    }

    [Fact]
    public void Levels_beyond_the_maximum_depth_are_refused()
    {
        var request = new BlockRequest(_ready, 0);
        var level = new Caller(new MemoryBlockDevice(1), _ready);
        for (int i = 0; i < BlockRequest.MaximumDepth; i++)
        {
            request.Push(level);
        }

        Assert.Throws<InvalidOperationException>(() => request.Push(level));
    }

    [Fact]
    public void List_keeps_order_and_gives_up_from_the_middle()
    {
        BlockRequest[] requests = [.. Enumerable.Range(0, 4).Select(tag => new BlockRequest(_ready, tag))];
        BlockRequestList list = default;
        foreach (BlockRequest request in requests)
        {
            list.AddLast(request);
        }

        Assert.Throws<InvalidOperationException>(() => list.AddLast(requests[1]));
        Assert.True(list.Remove(requests[2]));
        Assert.True(list.Remove(requests[3]));
        Assert.False(list.Remove(requests[3]));
        list.AddLast(requests[2]);
        Assert.True(list.Remove(requests[0]));
        int[] order = [.. Drain(list)];
        Assert.Equal([1, 2], order);

        static List<int> Drain(BlockRequestList list)
        {
            List<int> tags = [];
            while (list.TryTakeFirst(out BlockRequest? request))
            {
                tags.Add(request.Tag);
            }

            return tags;
        }
    }
}
