using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

public sealed class FuseLifecycleTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(FakeKernel.TimeoutMs);

    [Fact]
    public async Task Hangup_ends_the_session_as_unmounted()
    {
        using FakeKernel kernel = new();
        kernel.Hangup();
        FuseSessionEnd end = await kernel.Session.Completion.WaitAsync(Patience);
        Assert.Equal(FuseEndReason.Unmounted, end.Reason);
        Assert.Equal(0, end.Errno);
    }

    [Fact]
    public async Task Hangup_is_seen_while_nothing_is_read()
    {
        using FakeKernel kernel = new(capacity: 1);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        kernel.FillBeyondSpares();
        kernel.Hangup();
        FuseSessionEnd end = await kernel.Session.Completion.WaitAsync(Patience);
        Assert.Equal(FuseEndReason.Unmounted, end.Reason);
        Assert.Equal(0, kernel.FreeBuffers);
    }

    [Fact]
    public async Task Requests_in_flight_end_safely_after_the_session()
    {
        using FakeKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Holds = true);
        kernel.SendRead(0, 512);
        kernel.SendWrite(0, new byte[512]);
        kernel.Barrier();
        kernel.Hangup();
        await kernel.Session.Completion.WaitAsync(Patience);
        kernel.OnLoop(kernel.Device.LetGo);
        Assert.True(SpinWait.SpinUntil(() => kernel.OnLoop(() => kernel.Queue.IsIdle), FakeKernel.TimeoutMs));
        Assert.Equal(16, kernel.FreeBuffers);
        Assert.Equal(0, kernel.Session.FailedReplies);
    }

    [Fact]
    public async Task Drain_answers_what_was_read_and_leaves_the_rest_in_the_kernel()
    {
        using FakeKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong read = kernel.SendRead(0, 512);
        kernel.Barrier();
        kernel.Session.BeginDrain();
        kernel.OnLoop(() => { });
        kernel.Send(FuseOpcode.Getattr, new FuseGetattrIn());
        Assert.False(kernel.Session.Completion.IsCompleted);
        kernel.OnLoop(kernel.Device.LetGo);
        Assert.Equal(0, kernel.Answer(read).Error);
        FuseSessionEnd end = await kernel.Session.Completion.WaitAsync(Patience);
        Assert.Equal(FuseEndReason.Drained, end.Reason);
    }

    [Fact]
    public async Task Abort_answers_everything_in_flight_with_the_error()
    {
        using FakeKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong read = kernel.SendRead(0, 512);
        ulong fsync = kernel.Send(FuseOpcode.Fsync, new FuseFsyncIn());
        kernel.Barrier();
        kernel.Session.Abort(Errno.ENOTCONN);
        (ulong Unique, int Error)[] answers = [Take(kernel), Take(kernel)];
        Assert.Equal([(read, Errno.ENOTCONN), (fsync, Errno.ENOTCONN)], answers.OrderBy(answer => answer.Unique));
        FuseSessionEnd end = await kernel.Session.Completion.WaitAsync(Patience);
        Assert.Equal((FuseEndReason.Stopped, Errno.ENOTCONN), (end.Reason, end.Errno));
        kernel.OnLoop(kernel.Device.LetGo);
        Assert.True(SpinWait.SpinUntil(() => kernel.OnLoop(() => kernel.Queue.IsIdle), FakeKernel.TimeoutMs));
    }

    [Fact]
    public async Task Drain_and_abort_answer_what_waits_for_a_slot()
    {
        using FakeKernel drained = new(capacity: 1);
        drained.OnLoop(() => drained.Device.Holds = true);
        ulong[] reads = [drained.SendRead(0, 512), drained.SendRead(512, 512), drained.SendRead(1024, 512)];
        drained.Barrier();
        drained.Session.BeginDrain();
        drained.OnLoop(() =>
        {
            drained.Device.Holds = false;
            drained.Device.LetGo();
        });
        Assert.Equal(reads.Select(read => (read, 0)), reads.Select(_ => Take(drained)).ToArray());
        Assert.Equal(FuseEndReason.Drained, (await drained.Session.Completion.WaitAsync(Patience)).Reason);

        using FakeKernel aborted = new(capacity: 1);
        aborted.OnLoop(() => aborted.Device.Holds = true);
        reads = [aborted.SendRead(0, 512), aborted.SendRead(512, 512), aborted.SendRead(1024, 512)];
        aborted.Barrier();
        aborted.Session.Abort(Errno.ENOTCONN);
        Assert.Equal(reads.Select(read => (read, Errno.ENOTCONN)), reads.Select(_ => Take(aborted)).ToArray().Order());
        Assert.Equal(FuseEndReason.Stopped, (await aborted.Session.Completion.WaitAsync(Patience)).Reason);
        Assert.Equal(0, aborted.FreeBuffers);
    }

    private static (ulong Unique, int Error) Take(FakeKernel kernel)
    {
        (ulong unique, int error, _) = kernel.Receive();
        return (unique, error);
    }

    [Fact]
    public void Unknown_operation_is_not_implemented_and_locks_stay_with_the_kernel()
    {
        using FakeKernel kernel = new();
        foreach (FuseOpcode opcode in new[] { FuseOpcode.Getxattr, FuseOpcode.Access, FuseOpcode.Poll, FuseOpcode.Getlk, (FuseOpcode)999 })
        {
            Assert.Equal(Errno.ENOSYS, kernel.Answer(kernel.Send(opcode, new byte[24])).Error);
        }

        Assert.Equal(Errno.ENOTTY, kernel.Answer(kernel.Send(FuseOpcode.Ioctl, new byte[32])).Error);
        Assert.Equal(Errno.EPERM, kernel.Answer(kernel.Send(FuseOpcode.Unlink, "nbd\0"u8)).Error);
    }
}
