using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;
using NbdFuse.Ublk;
using NbdFuse.UnitTests.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Ublk;

public sealed class UblkQueueTests
{
    [Fact]
    public void Every_tag_is_fetched_before_the_start_ends()
    {
        using FakeUblkKernel kernel = new();
        Assert.Equal(FakeUblkKernel.Depth, kernel.OnLoop(() => kernel.Ring.Fetched));
    }

    [Fact]
    public void Read_is_answered_with_all_of_its_bytes()
    {
        using FakeUblkKernel kernel = new();
        byte[] content = FakeKernel.Pattern(128 * 1024, 1);
        kernel.OnLoop(() => content.CopyTo(kernel.Device.Content[4096..]));

        FakeUblkCall read = kernel.Send(UblkIoOperation.Read, 4096, content.Length);

        Assert.Equal(content.Length, read.Wait());
        Assert.Equal(content, read.Received);
    }

    [Fact]
    public void Write_is_stored_and_answered_with_all_of_its_bytes()
    {
        using FakeUblkKernel kernel = new();
        byte[] data = FakeKernel.Pattern(64 * 1024, 2);

        Assert.Equal(data.Length, kernel.Ask(UblkIoOperation.Write, 512, data.Length, data: data));

        Assert.Equal(data, kernel.OnLoop(() => kernel.Device.Content.Slice(512, data.Length).ToArray()));
        Assert.Equal([(BlockOperation.Write, 512, data.Length, BlockRequestFlags.None)], kernel.Log());
    }

    [Fact]
    public void Flags_and_operations_reach_the_device()
    {
        using FakeUblkKernel kernel = new();
        byte[] data = new byte[512];

        Assert.Equal(512, kernel.Ask(UblkIoOperation.Write, 0, 512, UblkIoFlags.Fua | UblkIoFlags.Metadata, data));
        Assert.Equal(0, kernel.Ask(UblkIoOperation.Flush));
        Assert.Equal(0, kernel.Ask(UblkIoOperation.Discard, 1024, 4096));
        Assert.Equal(0, kernel.Ask(UblkIoOperation.WriteZeroes, 8192, 1 << 20));
        Assert.Equal(0, kernel.Ask(UblkIoOperation.WriteZeroes, 8192, 4096, UblkIoFlags.NoUnmap | UblkIoFlags.Fua));

        Assert.Equal(
            [
                (BlockOperation.Write, 0, 512, BlockRequestFlags.Fua),
                (BlockOperation.Flush, 0, 0, BlockRequestFlags.None),
                (BlockOperation.Trim, 1024, 4096, BlockRequestFlags.None),
                (BlockOperation.WriteZeroes, 8192, 1 << 20, BlockRequestFlags.None),
                (BlockOperation.WriteZeroes, 8192, 4096, BlockRequestFlags.NoHole | BlockRequestFlags.Fua),
            ],
            kernel.Log());
    }

    [Fact]
    public void Error_of_the_device_is_the_answer()
    {
        using FakeUblkKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Error = Errno.ENOSPC);

        Assert.Equal(-Errno.ENOSPC, kernel.Ask(UblkIoOperation.Write, 0, 512, data: new byte[512]));
        Assert.Equal(-Errno.ENOSPC, kernel.Ask(UblkIoOperation.Read, 0, 512));
    }

    [Theory]
    [InlineData(UblkIoOperation.Read, FakeUblkKernel.Size / 512, 1)]
    [InlineData(UblkIoOperation.Write, (FakeUblkKernel.Size / 512) - 1, 2)]
    [InlineData(UblkIoOperation.Discard, long.MaxValue, 1)]
    [InlineData(UblkIoOperation.Read, 0, (128 * 1024 / 512) + 1)]
    [InlineData(UblkIoOperation.Write, 0, 0)]
    public void Request_that_makes_no_sense_is_refused_and_the_next_one_served(UblkIoOperation operation, long sector, int count)
    {
        using FakeUblkKernel kernel = new();
        FakeUblkCall call = new(operation, 0, 0)
        {
            Description = new UblkIoDescriptor { OperationAndFlags = (uint)operation, StartSector = (ulong)sector, Sectors = (uint)count },
        };

        Assert.Equal(-Errno.EIO, kernel.Send(call).Wait());

        Assert.Empty(kernel.Log());
        Assert.Equal(512, kernel.Ask(UblkIoOperation.Read, 0, 512));
    }

    [Fact]
    public void Answers_of_one_turn_go_out_in_one_call()
    {
        using FakeUblkKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Holds = true);
        FakeUblkCall[] calls = new FakeUblkCall[FakeUblkKernel.Depth];
        for (int i = 0; i < calls.Length; i++)
        {
            calls[i] = kernel.Send(UblkIoOperation.Read, i * 4096, 4096);
        }

        kernel.WaitForHeld(calls.Length);
        kernel.LetGo();

        Assert.All(calls, call => Assert.Equal(4096, call.Wait()));
        Assert.Contains(calls.Length, kernel.OnLoop(() => kernel.Ring.CommitsPerSubmission));
    }

    [Fact]
    public void More_requests_than_tags_are_all_answered_once()
    {
        using FakeUblkKernel kernel = new();
        byte[][] data = [.. Enumerable.Range(0, 200).Select(i => FakeKernel.Pattern(512 * (1 + (i % 16)), i))];

        FakeUblkCall[] writes = [.. data.Select((bytes, i) => kernel.Send(UblkIoOperation.Write, i * 16 * 1024, bytes.Length, data: bytes))];
        Assert.All(writes, write => Assert.Equal(write.Data!.Length, write.Wait()));
        FakeUblkCall[] reads = [.. data.Select((bytes, i) => kernel.Send(UblkIoOperation.Read, i * 16 * 1024, bytes.Length))];
        for (int i = 0; i < reads.Length; i++)
        {
            Assert.Equal(data[i].Length, reads[i].Wait());
            Assert.Equal(data[i], reads[i].Received);
        }

        Assert.Equal(400, kernel.Queue.Statistics.Commits);
        Assert.True(kernel.OnLoop(() => kernel.Requests.IsIdle));
    }

    [Theory]
    [InlineData(-Errno.EAGAIN)]
    [InlineData(-Errno.EBUSY)]
    [InlineData(-Errno.EINTR)]
    public void Call_that_the_kernel_puts_off_is_repeated(int error)
    {
        using FakeUblkKernel kernel = new();
        kernel.OnLoop(() =>
        {
            for (int i = 0; i < 10; i++)
            {
                kernel.Ring.SubmitErrors.Enqueue(error);
            }
        });

        Assert.Equal(512, kernel.Ask(UblkIoOperation.Read, 0, 512));
        Assert.Empty(kernel.OnLoop(() => kernel.Ring.SubmitErrors));
    }

    [Fact]
    public async Task Call_that_the_kernel_refuses_ends_the_queue_with_a_reason()
    {
        using FakeUblkKernel kernel = new();
        kernel.OnLoop(() => kernel.Ring.SubmitErrors.Enqueue(-Errno.EBADF));

        kernel.Send(UblkIoOperation.Read, 0, 512);

        UblkEnd end = await kernel.Queue.Fault.WaitAsync(TimeSpan.FromMilliseconds(FakeUblkKernel.TimeoutMs));
        Assert.Equal((UblkEndReason.Failed, Errno.EBADF), (end.Reason, end.Errno));
        await kernel.Queue.Closed.WaitAsync(TimeSpan.FromMilliseconds(FakeUblkKernel.TimeoutMs));
        Assert.True(kernel.Ring.IsDisposed);
    }

    [Fact]
    public async Task Answer_that_the_kernel_refuses_is_told_and_the_others_are_served()
    {
        using FakeUblkKernel kernel = new();
        kernel.OnLoop(() => kernel.Ring.CommandErrors.Enqueue(-Errno.EINVAL));

        kernel.Send(UblkIoOperation.Read, 0, 512);

        UblkEnd end = await kernel.Queue.Fault.WaitAsync(TimeSpan.FromMilliseconds(FakeUblkKernel.TimeoutMs));
        Assert.Equal((UblkEndReason.Failed, Errno.EINVAL), (end.Reason, end.Errno));
        Assert.Equal(512, kernel.Ask(UblkIoOperation.Read, 512, 512));
        Assert.False(kernel.Queue.Closed.IsCompleted);
    }

    [Fact]
    public async Task Stop_waits_for_what_is_under_way_and_then_closes_the_ring()
    {
        using FakeUblkKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Holds = true);
        byte[] data = FakeKernel.Pattern(512, 3);
        FakeUblkCall write = kernel.Send(UblkIoOperation.Write, 0, 512, data: data);
        kernel.WaitForHeld(1);

        kernel.OnLoop(kernel.Ring.Stop);
        kernel.Barrier();
        Assert.False(kernel.Queue.Closed.IsCompleted);
        kernel.LetGo();

        Assert.Equal(512, write.Wait());
        await kernel.Queue.Closed.WaitAsync(TimeSpan.FromMilliseconds(FakeUblkKernel.TimeoutMs));
        Assert.True(kernel.Ring.IsDisposed);
        Assert.False(kernel.Queue.Fault.IsCompleted);
    }

    [Fact]
    public async Task Fail_all_answers_at_once_and_never_twice()
    {
        using FakeUblkKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Holds = true);
        FakeUblkCall write = kernel.Send(UblkIoOperation.Write, 0, 4096, data: FakeKernel.Pattern(4096, 4));
        FakeUblkCall read = kernel.Send(UblkIoOperation.Read, 8192, 4096);
        kernel.WaitForHeld(2);
        byte[] held = kernel.OnLoop(() => kernel.Device.Held[0].Buffer.ToArray());

        kernel.Queue.FailAll();

        Assert.Equal(-Errno.EIO, write.Wait());
        Assert.Equal(-Errno.EIO, read.Wait());

        // The tag is used again while its first request may still be read by whoever sends it: it must not change.
        FakeUblkCall[] later =
        [
            .. Enumerable.Range(0, FakeUblkKernel.Depth * 2)
                .Select(i => kernel.Send(UblkIoOperation.Write, 0, 4096, data: FakeKernel.Pattern(4096, 100 + i))),
        ];
        Assert.All(later, call => Assert.Equal(-Errno.EIO, call.Wait()));
        Assert.Equal(held, kernel.OnLoop(() => kernel.Device.Held[0].Buffer.ToArray()));
        Assert.Equal(2, kernel.Log().Length);

        // What has been answered ends below all the same, and nobody hears of it.
        kernel.LetGo();
        Assert.True(SpinWait.SpinUntil(() => kernel.OnLoop(() => kernel.Requests.IsIdle), FakeUblkKernel.TimeoutMs));
        kernel.OnLoop(kernel.Ring.Stop);
        await kernel.Queue.Closed.WaitAsync(TimeSpan.FromMilliseconds(FakeUblkKernel.TimeoutMs));
        Assert.False(kernel.Queue.Fault.IsCompleted);
    }

    [Fact]
    public async Task Unflushed_writes_are_known_until_a_flush_that_began_after_them_has_succeeded()
    {
        using FakeUblkKernel kernel = new();
        Assert.False(kernel.Queue.HasUnflushedWrites);
        kernel.Ask(UblkIoOperation.Write, 0, 512, data: new byte[512]);
        Assert.True(kernel.Queue.HasUnflushedWrites);
        kernel.Ask(UblkIoOperation.Flush);
        Assert.False(kernel.Queue.HasUnflushedWrites);

        // A write that ends while a flush is under way is not covered by it.
        kernel.OnLoop(() => kernel.Device.Holds = true);
        FakeUblkCall flush = kernel.Send(UblkIoOperation.Flush);
        kernel.WaitForHeld(1);
        kernel.OnLoop(() => kernel.Device.Holds = false);
        kernel.Ask(UblkIoOperation.WriteZeroes, 0, 512);
        kernel.LetGo();
        Assert.Equal(0, flush.Wait());
        Assert.True(kernel.Queue.HasUnflushedWrites);

        kernel.OnLoop(() => kernel.Device.Error = Errno.EIO);
        Assert.Equal(Errno.EIO, await kernel.Queue.FlushAsync());
        Assert.True(kernel.Queue.HasUnflushedWrites);
        kernel.OnLoop(() => kernel.Device.Error = 0);
        Assert.Equal(0, await kernel.Queue.FlushAsync());
        Assert.False(kernel.Queue.HasUnflushedWrites);
    }

    [Fact]
    public async Task Flush_of_our_own_has_a_slot_though_every_tag_is_busy()
    {
        using FakeUblkKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Holds = true);
        FakeUblkCall[] calls = [.. Enumerable.Range(0, FakeUblkKernel.Depth).Select(i => kernel.Send(UblkIoOperation.Read, i * 512, 512))];
        kernel.WaitForHeld(calls.Length);
        kernel.OnLoop(() => kernel.Device.Holds = false);

        Assert.Equal(0, await kernel.Queue.FlushAsync().WaitAsync(TimeSpan.FromMilliseconds(FakeUblkKernel.TimeoutMs)));

        kernel.LetGo();
        Assert.All(calls, call => Assert.Equal(512, call.Wait()));
    }

    [Fact]
    public async Task Flush_works_before_the_ring_is_there_and_after_it_is_closed()
    {
        using FakeUblkKernel kernel = new(start: false);
        Assert.Equal(0, await kernel.Queue.FlushAsync());
        kernel.Start();
        kernel.OnLoop(kernel.Ring.Stop);
        await kernel.Queue.Closed.WaitAsync(TimeSpan.FromMilliseconds(FakeUblkKernel.TimeoutMs));
        Assert.Equal(0, await kernel.Queue.FlushAsync());
        Assert.Equal(2, kernel.Log().Length);
    }

    [Fact]
    public async Task Detaching_closes_the_ring_and_tells_whether_memory_may_go()
    {
        using FakeUblkKernel busy = new();
        busy.OnLoop(() => busy.Device.Holds = true);
        busy.Send(UblkIoOperation.Read, 0, 512);
        busy.WaitForHeld(1);
        Assert.False(await busy.Queue.DetachAsync());
        Assert.True(busy.Ring.IsDisposed);

        using FakeUblkKernel idle = new();
        Assert.True(await idle.Queue.DetachAsync());
        Assert.True(idle.Ring.IsDisposed);
    }

    [Fact]
    public async Task Ring_that_cannot_be_made_fails_the_start_and_not_the_loop()
    {
        using FakeUblkKernel kernel = new(start: false);
        PosixException error = await Assert.ThrowsAsync<PosixException>(
            () => kernel.Queue.StartAsync(() => throw new PosixException("set up io_uring", Errno.EPERM)));
        Assert.Equal(Errno.EPERM, error.Errno);
        Assert.Equal(0, await kernel.Queue.FlushAsync());
    }

    [Fact]
    public async Task Loop_that_has_ended_is_told_to_whoever_asks()
    {
        FakeUblkKernel kernel = new();
        kernel.Dispose();
        await Assert.ThrowsAsync<UblkException>(() => kernel.Queue.FlushAsync());
    }

    [Fact]
    public void Queue_without_a_spare_slot_is_refused()
    {
        using FakeUblkKernel kernel = new(start: false);
        var ready = new ReadyList();
        var small = new RequestQueue(kernel.Device, ready, new RequestQueueOptions { Capacity = FakeUblkKernel.Depth });
        using var loop = new EventLoop("small");
        using var buffers = new UblkBuffers(FakeUblkKernel.Depth, 4096);
        Assert.Throws<ArgumentOutOfRangeException>(() => new UblkQueue(
            loop, small, kernel.Geometry, buffers, spin: false, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance));
    }
}
