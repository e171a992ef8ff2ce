using System.Diagnostics;
using NbdFuse.Block;
using NbdFuse.Block.Layers;
using Xunit;

namespace NbdFuse.UnitTests.Block;

public class RequestQueueTests : IBlockCompletion
{
    private readonly ReadyList _ready = new();
    private readonly DeferringDevice _device = new(new BlockDeviceInfo { Size = 1 << 20, CanFlush = true });
    private readonly List<int> _ended = [];

    private RequestQueue? _queue;
    private bool _returns = true;

    [Fact]
    public void Slots_run_out_and_room_is_told_once_when_one_comes_back()
    {
        RequestQueue queue = Make(capacity: 2, bytes: 1 << 20);
        int rooms = 0;
        queue.RoomMade = () => rooms++;
        BlockRequest first = Start(BlockOperation.Read, 0, 512);
        Start(BlockOperation.Read, 512, 512);
        Assert.Equal(2, queue.InFlight);
        Assert.False(queue.HasRoom(0));
        Assert.False(queue.TryRent(out _));
        _device.End();
        Assert.Equal(0, rooms);
        _ready.Run();
        Assert.Equal(1, rooms);
        Assert.Equal([first.Tag], _ended);
        _device.End();
        _ready.Run();
        Assert.Equal(1, rooms);
        Assert.Equal(2, queue.Statistics.PeakInFlight);
    }

    [Fact]
    public void Bytes_are_bounded_but_one_request_always_fits()
    {
        RequestQueue queue = Make(capacity: 8, bytes: 4096);
        int rooms = 0;
        queue.RoomMade = () => rooms++;
        Assert.True(queue.HasRoom(1 << 20));
        Start(BlockOperation.Write, 0, 4096);
        Assert.Equal(4096, queue.BytesInFlight);
        Assert.True(queue.HasRoom(0));
        Assert.False(queue.HasRoom(1));
        _device.End();
        _ready.Run();
        Assert.Equal(1, rooms);
        Assert.Equal(0, queue.BytesInFlight);
        Assert.True(queue.HasRoom(8192));
    }

    [Fact]
    public void Latencies_are_counted_by_powers_of_two_and_a_turn_is_one_moment()
    {
        RequestQueue queue = Make(capacity: 4, bytes: 1 << 20);
        LatencyHistogram reads = queue.Statistics.Operations.Latency(BlockOperation.Read);
        Assert.Equal(0, reads.Bound(0.99));

        // Submitted and ended within one turn: no time passes.
        Start(BlockOperation.Read, 0, 512);
        _device.End();
        _ready.Run();
        Assert.Equal(1, reads[0]);
        Assert.Equal(TimeSpan.Zero, reads.Maximum);
        Assert.Equal(2, reads.Bound(0.99));

        Start(BlockOperation.Read, 0, 512);
        queue.EndTurn();
        Pass(TimeSpan.FromMilliseconds(2));
        _device.End();
        _ready.Run();
        TimeSpan slow = reads.Maximum;
        Assert.True(slow >= TimeSpan.FromMilliseconds(2), $"{slow}");
        Assert.Equal(slow, reads.Total);
        Assert.True(reads.Bound(1) >= slow.TotalMicroseconds);
        Assert.Equal(2, reads.Bound(0.5));
        Assert.Equal(0, queue.Statistics.Operations.Latency(BlockOperation.Write).Bound(1));
        Assert.Equal(2, Enumerable.Range(0, LatencyHistogram.Buckets).Sum(bucket => reads[bucket]));
    }

    [Fact]
    public void Time_for_which_the_queue_was_full_is_counted_once_however_often_it_is_asked()
    {
        RequestQueue queue = Make(capacity: 1, bytes: 1 << 20);
        Start(BlockOperation.Read, 0, 512);
        Assert.Equal(0, queue.Statistics.Full.Count);
        Assert.False(queue.HasRoom(0));
        queue.EndTurn();
        Pass(TimeSpan.FromMilliseconds(2));
        Assert.False(queue.HasRoom(0));
        Assert.False(queue.TryRent(out _));
        _device.End();
        _ready.Run();
        Assert.Equal(1, queue.Statistics.Full.Count);
        Assert.True(queue.Statistics.Full.Maximum >= TimeSpan.FromMilliseconds(2));
    }

    [Fact]
    public void Wait_before_the_server_and_time_at_it_are_counted_apart()
    {
        var timing = new TimingLayer(_device);
        var slow = new DeferringDevice(_device.Info);
        var queue = new RequestQueue(slow, _ready, new RequestQueueOptions { Capacity = 4 });
        Assert.True(queue.TryRent(out BlockRequest? request));
        request.Operation = BlockOperation.Read;
        request.Length = 512;
        request.Buffer = new byte[512];
        request.Owner = this;
        queue.Submit(request, 0);
        queue.EndTurn();
        Pass(TimeSpan.FromMilliseconds(2));

        // As a layer that has kept it back.
        timing.Submit(request);
        timing.EndTurn();
        Pass(TimeSpan.FromMilliseconds(4));
        _device.End();
        _queue = queue;
        _ready.Run();

        LatencyHistogram atServer = timing.Operations.Latency(BlockOperation.Read);
        TimeSpan whole = queue.Statistics.Operations.Latency(BlockOperation.Read).Maximum;
        Assert.Equal((1, 1), (timing.Wait.Count, atServer.Count));
        Assert.True(timing.Wait.Maximum >= TimeSpan.FromMilliseconds(2), $"{timing.Wait.Maximum}");
        Assert.True(atServer.Maximum >= TimeSpan.FromMilliseconds(4), $"{atServer.Maximum}");
        Assert.True(whole >= atServer.Maximum, $"{whole} < {atServer.Maximum}");
        Assert.Equal(512, timing.Operations.Bytes(BlockOperation.Read));
    }

    private static void Pass(TimeSpan time)
    {
        long start = Stopwatch.GetTimestamp();
        SpinWait.SpinUntil(() => Stopwatch.GetElapsedTime(start) >= time);
    }

    [Fact]
    public void Drained_is_told_when_the_last_request_has_ended()
    {
        RequestQueue queue = Make();
        int drained = 0;
        queue.Drained = () => drained++;
        Start(BlockOperation.Read, 0, 512);
        Start(BlockOperation.Read, 512, 512);
        _device.End(1);
        _ready.Run();
        Assert.Equal(0, drained);
        _device.End();
        _ready.Run();
        Assert.Equal(1, drained);
        Assert.True(queue.IsIdle);
    }

    [Fact]
    public void Request_of_length_zero_ends_well_without_reaching_the_device()
    {
        // Rule 59: what a server does with it is undefined.
        Make();
        foreach (BlockOperation operation in Enum.GetValues<BlockOperation>().Where(o => o != BlockOperation.Flush))
        {
            BlockRequest request = Start(operation, 1 << 20, 0);
            _ready.Run();
            Assert.Equal(0, request.Error);
        }

        Assert.Empty(_device.Seen);
        Assert.Equal(6, _ended.Count);
    }

    [Theory]
    [InlineData(0, (1 << 20) + 1)]
    [InlineData(1 << 20, 1)]
    [InlineData((1 << 20) + 1, 0)]
    [InlineData(-1, 1)]
    [InlineData(0, -1)]
    [InlineData(long.MaxValue, 1)]
    [InlineData(1, long.MaxValue)]
    [InlineData(long.MaxValue, long.MaxValue)]
    public void Request_outside_the_device_ends_with_EINVAL_without_reaching_it(long offset, long length)
    {
        // Rule 48: never offset + length beyond the export.
        Make();
        BlockRequest request = Start(BlockOperation.Trim, offset, length);
        _ready.Run();
        Assert.Equal(BlockErrno.EINVAL, request.Error);
        Assert.Empty(_device.Seen);
    }

    [Fact]
    public void Slot_that_is_given_back_in_flight_or_twice_throws()
    {
        RequestQueue queue = Make();
        _returns = false;
        BlockRequest request = Start(BlockOperation.Read, 0, 512);
        Assert.Throws<InvalidOperationException>(() => queue.Return(request));
        _device.End();
        Assert.Throws<InvalidOperationException>(() => queue.Return(request));
        _ready.Run();
        queue.Return(request);
        Assert.Throws<InvalidOperationException>(() => queue.Return(request));
    }

    [Fact]
    public void Abandoned_request_keeps_its_slot_until_it_has_ended()
    {
        RequestQueue queue = Make();
        BlockRequest request = Start(BlockOperation.Read, 0, 512);
        queue.Abandon(request);
        queue.Abandon(request);
        Assert.Equal(1, queue.Statistics.Abandoned);
        Assert.Equal(1, queue.InFlight);
        _device.End();
        _ready.Run();
        Assert.True(queue.IsIdle);
        Assert.True(queue.TryRent(out BlockRequest? next));
        Assert.False(next.IsAbandoned);
    }

    [Fact]
    public void Statistics_count_requests_bytes_and_errors_by_operation()
    {
        RequestQueue queue = Make();
        Start(BlockOperation.Read, 0, 512);
        Start(BlockOperation.Read, 0, 512);
        Start(BlockOperation.Flush, 0, 0);
        _device.End(0, BlockErrno.EIO);
        _device.End();
        _device.End();
        _ready.Run();
        Assert.Equal(2, queue.Statistics.Requests(BlockOperation.Read));
        Assert.Equal(512, queue.Statistics.Bytes(BlockOperation.Read));
        Assert.Equal(1, queue.Statistics.Errors(BlockOperation.Read));
        Assert.Equal(1, queue.Statistics.Requests(BlockOperation.Flush));
        Assert.Equal(0, queue.Statistics.Requests(BlockOperation.Write));
    }

    [Fact]
    public void Bounds_out_of_range_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Make(capacity: 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Make(capacity: 4097));
        Assert.Throws<ArgumentOutOfRangeException>(() => Make(bytes: 0));
    }

    public bool OnCompleted(BlockRequest request, long state)
    {
        _ended.Add(request.Tag);
        if (_returns)
        {
            _queue!.Return(request);
        }

        return false;
    }

    private RequestQueue Make(int capacity = 16, long bytes = 1 << 20) =>
        _queue = new RequestQueue(_device, _ready, new RequestQueueOptions { Capacity = capacity, Bytes = bytes });

    private BlockRequest Start(BlockOperation operation, long offset, long length)
    {
        Assert.True(_queue!.TryRent(out BlockRequest? request));
        request.Operation = operation;
        request.Offset = offset;
        request.Length = length;
        request.Owner = this;
        if (operation is BlockOperation.Read or BlockOperation.Write)
        {
            request.Buffer = new byte[length];
        }

        _queue.Submit(request, 0);
        return request;
    }
}
