using NbdFuse.Block;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

public sealed class FuseInterruptTests
{
    private static readonly FuseSessionOptions AtOnce = new() { InterruptAfterMs = 0 };

    private static void SendInterrupt(FakeKernel kernel, ulong unique) =>
        kernel.Send(FuseOpcode.Interrupt, BitConverter.GetBytes(unique), unique: unique | 1);

    [Fact]
    public void Interrupt_of_a_young_request_leaves_it_alone()
    {
        using FakeKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong read = kernel.SendRead(0, 512);
        SendInterrupt(kernel, read);
        kernel.Barrier();
        kernel.OnLoop(kernel.Device.LetGo);
        (int error, byte[] body) = kernel.Answer(read);
        Assert.Equal(0, error);
        Assert.Equal(512, body.Length);
        Assert.Equal(0, kernel.Queue.Statistics.Abandoned);
    }

    [Fact]
    public void Interrupt_of_an_old_request_is_answered_once_and_keeps_the_slot_until_its_end()
    {
        using FakeKernel kernel = new(AtOnce);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong read = kernel.SendRead(0, 512);
        SendInterrupt(kernel, read);
        Assert.Equal(Errno.EINTR, kernel.Answer(read).Error);
        Assert.Equal(1, kernel.OnLoop(() => kernel.Queue.InFlight));
        Assert.Equal(15, kernel.FreeBuffers);
        Assert.True(kernel.OnLoop(() => kernel.Device.Held[0].IsAbandoned));

        SendInterrupt(kernel, read);
        kernel.OnLoop(kernel.Device.LetGo);
        kernel.OnLoop(() => kernel.Device.Holds = false);
        kernel.Barrier();
        Assert.True(kernel.OnLoop(() => kernel.Queue.IsIdle));
        Assert.Equal(16, kernel.FreeBuffers);
        Assert.Equal(1, kernel.Queue.Statistics.Abandoned);
    }

    [Fact]
    public void Interrupted_write_keeps_its_data_until_the_device_has_ended_it()
    {
        using FakeKernel kernel = new(AtOnce);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        byte[] data = FakeKernel.Pattern(4096, 7);
        ulong write = kernel.SendWrite(0, data);
        SendInterrupt(kernel, write);
        Assert.Equal(Errno.EINTR, kernel.Answer(write).Error);
        // Others come and go through all the free buffers meanwhile.
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            request.Buffer.Span.Fill(0xEE);
            request.Complete(0);
            return true;
        });
        for (int i = 0; i < 40; i++)
        {
            Assert.Equal(0, kernel.Answer(kernel.SendRead(8192, 4096)).Error);
        }

        kernel.OnLoop(kernel.Device.LetGo);
        kernel.Barrier();
        Assert.Equal(data, kernel.OnLoop(() => kernel.Device.Content[..4096].ToArray()));
    }

    [Fact]
    public void Interrupted_write_that_was_executed_still_makes_the_close_flush()
    {
        using FakeKernel kernel = new(AtOnce);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong write = kernel.SendWrite(0, new byte[512]);
        SendInterrupt(kernel, write);
        Assert.Equal(Errno.EINTR, kernel.Answer(write).Error);
        kernel.OnLoop(() =>
        {
            kernel.Device.LetGo();
            kernel.Device.Holds = false;
        });
        Assert.Equal(0, kernel.Ask(FuseOpcode.Flush, new FuseFlushIn { Handle = 1 }).Error);
        Assert.Equal([BlockOperation.Write, BlockOperation.Flush], kernel.Log().Select(entry => entry.Operation));
    }

    [Fact]
    public void Interrupted_request_that_grows_old_is_answered_then()
    {
        using FakeKernel kernel = new(new FuseSessionOptions { InterruptAfterMs = 40, InterruptTickMs = 5 });
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong fsync = kernel.Send(FuseOpcode.Fsync, new FuseFsyncIn());
        SendInterrupt(kernel, fsync);
        Assert.Equal(Errno.EINTR, kernel.Answer(fsync).Error);
        kernel.OnLoop(kernel.Device.LetGo);
        kernel.Barrier();
    }

    [Fact]
    public void Interrupt_while_the_device_is_stalled_is_answered_at_any_age()
    {
        using FakeKernel kernel = new();
        kernel.OnLoop(() =>
        {
            kernel.Device.Holds = true;
            kernel.Session.IsStalled = () => true;
        });
        ulong read = kernel.SendRead(0, 512);
        SendInterrupt(kernel, read);
        Assert.Equal(Errno.EINTR, kernel.Answer(read).Error);
    }

    [Fact]
    public void Interrupt_of_an_unknown_request_is_ignored()
    {
        using FakeKernel kernel = new(AtOnce);
        SendInterrupt(kernel, 123456);
        kernel.Barrier();
    }

    [Fact]
    public void Interrupt_finds_a_request_that_the_kernel_sent_again()
    {
        const ulong Resent = 1ul << 63;
        using FakeKernel kernel = new(AtOnce);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        byte[] body = new byte[16];
        ulong fsync = kernel.Send(FuseOpcode.Fsync, body, unique: Resent | 1000);
        SendInterrupt(kernel, 1000);
        Assert.Equal(Errno.EINTR, kernel.Answer(fsync).Error);
    }

    [Fact]
    public void Payload_for_an_interrupted_read_is_dropped()
    {
        using FakeKernel kernel = new(AtOnce);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong read = kernel.SendRead(0, 512);
        SendInterrupt(kernel, read);
        Assert.Equal(Errno.EINTR, kernel.Answer(read).Error);
        bool delivered = kernel.OnLoop(() => kernel.Session.TryDeliver(kernel.Device.Held[0], new byte[16 + 512]));
        Assert.True(delivered);
        kernel.OnLoop(kernel.Device.LetGo);
        kernel.Barrier();
    }

    [Fact]
    public void Interrupts_arrive_while_the_queue_is_full()
    {
        using FakeKernel kernel = new(AtOnce, capacity: 1);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong first = kernel.SendRead(0, 512);
        ulong second = kernel.SendRead(512, 512);
        ulong third = kernel.SendRead(1024, 512);
        SendInterrupt(kernel, first);
        Assert.Equal(Errno.EINTR, kernel.Answer(first).Error);
        SendInterrupt(kernel, second);
        Assert.Equal(Errno.EINTR, kernel.Answer(second).Error);
        kernel.OnLoop(() =>
        {
            kernel.Device.Holds = false;
            kernel.Device.LetGo();
        });
        Assert.Equal(0, kernel.Answer(third).Error);
        Assert.Equal([0, 1024], kernel.Log().Select(entry => entry.Offset));
        Assert.Equal(1, kernel.FreeBuffers);
    }

    [Fact]
    public void Interrupted_request_that_grows_old_while_it_waits_for_a_slot_is_answered_then()
    {
        using FakeKernel kernel = new(new FuseSessionOptions { InterruptAfterMs = 40, InterruptTickMs = 5 }, capacity: 1);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong read = kernel.SendRead(0, 512);
        ulong fsync = kernel.Send(FuseOpcode.Fsync, new FuseFsyncIn());
        SendInterrupt(kernel, fsync);
        Assert.Equal(Errno.EINTR, kernel.Answer(fsync).Error);
        kernel.OnLoop(kernel.Device.LetGo);
        Assert.Equal(0, kernel.Answer(read).Error);
        kernel.Barrier();
    }

    [Fact]
    public void Interrupt_of_a_waiting_request_is_remembered_when_it_gets_its_slot()
    {
        using FakeKernel kernel = new(new FuseSessionOptions { InterruptTickMs = 5 }, capacity: 1);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong first = kernel.SendRead(0, 512);
        ulong second = kernel.SendRead(512, 512);
        SendInterrupt(kernel, second);
        kernel.Barrier();
        kernel.OnLoop(kernel.Device.LetGo);
        Assert.Equal(0, kernel.Answer(first).Error);
        kernel.OnLoop(() => kernel.Session.IsStalled = () => true);
        Assert.Equal(Errno.EINTR, kernel.Answer(second).Error);
        Assert.Equal(2, kernel.Log().Length);
    }

    [Fact]
    public void Request_that_is_older_than_the_limit_is_answered_and_keeps_its_place()
    {
        using FakeKernel kernel = new(new FuseSessionOptions { RequestTimeoutMs = 30, InterruptTickMs = 5 }, capacity: 1);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong write = kernel.SendWrite(0, FakeKernel.Pattern(512, 1));
        ulong parked = kernel.SendRead(0, 512);
        Assert.Equal(Errno.ETIMEDOUT, kernel.Answer(write).Error);
        Assert.Equal(Errno.ETIMEDOUT, kernel.Answer(parked).Error);
        Assert.Equal(1, kernel.OnLoop(() => kernel.Queue.InFlight));
        kernel.OnLoop(() =>
        {
            kernel.Device.Holds = false;
            kernel.Device.LetGo();
        });
        Assert.Equal(0, kernel.Answer(kernel.SendRead(0, 512)).Error);
        Assert.Equal(1, kernel.Queue.Statistics.Abandoned);
    }

    [Fact]
    public void Request_that_is_older_than_a_limit_that_only_warns_waits_on()
    {
        using FakeKernel kernel = new(
            new FuseSessionOptions { RequestTimeoutMs = 1, RequestTimeoutWaits = true, InterruptTickMs = 1 });
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong old = kernel.SendRead(0, 512);
        ulong other = kernel.SendRead(512, 512);
        SendInterrupt(kernel, other);
        long until = Environment.TickCount64 + 50;
        while (Environment.TickCount64 < until)
        {
            kernel.Barrier();
        }

        kernel.OnLoop(kernel.Device.LetGo);
        Assert.Equal(0, kernel.Answer(old).Error);
        Assert.Equal(0, kernel.Answer(other).Error);
        Assert.Equal(0, kernel.Queue.Statistics.Abandoned);
    }

    [Fact]
    public void Close_does_not_wait_for_a_server_that_is_away_and_fsync_does()
    {
        using FakeKernel kernel = new();
        Assert.Equal(0, kernel.Answer(kernel.SendWrite(0, FakeKernel.Pattern(512, 1))).Error);
        kernel.OnLoop(() =>
        {
            kernel.Device.Holds = true;
            kernel.Session.IsStalled = () => true;
        });
        ulong fsync = kernel.Send(FuseOpcode.Fsync, new FuseFsyncIn());
        Assert.Equal(0, kernel.Ask(FuseOpcode.Flush, new FuseFlushIn { Handle = 1 }).Error);
        Assert.Equal(1, kernel.OnLoop(() => kernel.Queue.InFlight));
        Assert.True(kernel.Session.HasUnflushedWrites);
        kernel.OnLoop(kernel.Device.LetGo);
        Assert.Equal(0, kernel.Answer(fsync).Error);
    }

    [Theory]
    [InlineData(8)]
    [InlineData(1)]
    public void Close_that_waits_already_is_let_go_when_the_server_is_lost(int capacity)
    {
        // With one slot the close is parked behind the read.
        using FakeKernel kernel = new(new FuseSessionOptions { InterruptTickMs = 5 }, capacity: capacity);
        Assert.Equal(0, kernel.Answer(kernel.SendWrite(0, FakeKernel.Pattern(512, 1))).Error);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong read = kernel.SendRead(0, 512);
        ulong close = kernel.Send(FuseOpcode.Flush, new FuseFlushIn { Handle = 1 });
        kernel.Barrier();
        Assert.Equal(Math.Min(capacity, 2), kernel.OnLoop(() => kernel.Queue.InFlight));
        kernel.OnLoop(() => kernel.Session.IsStalled = () => true);
        Assert.Equal(0, kernel.Answer(close).Error);
        Assert.True(kernel.Session.HasUnflushedWrites);
        kernel.OnLoop(() =>
        {
            kernel.Device.Holds = false;
            kernel.Device.LetGo();
        });
        Assert.Equal(0, kernel.Answer(read).Error);

        // Not answered a second time: the next answer is that of the next request.
        kernel.Barrier();
    }

    [Fact]
    public void Long_zeroing_gets_more_time()
    {
        using FakeKernel kernel = new(
            new FuseSessionOptions { RequestTimeoutMs = 500, InterruptTickMs = 5 }, FakeKernel.DefaultInfo with { Size = 1L << 28 });
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong zero = kernel.Send(FuseOpcode.Fallocate, new FuseFallocateIn { Length = 1UL << 28, Mode = 0x10 | 1 });
        ulong read = kernel.SendRead(0, 512);
        Assert.Equal(Errno.ETIMEDOUT, kernel.Answer(read).Error);
        kernel.OnLoop(kernel.Device.LetGo);
        Assert.Equal(0, kernel.Answer(zero).Error);
    }
}
