using System.Diagnostics;
using NbdFuse.Native;
using NbdFuse.Native.IoUring;
using NbdFuse.Native.Ublk;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Native;

/// <summary>The ring against the kernel of this machine.</summary>
public sealed class IoUringRingTests
{
    private const IoUringSetupFlags Deferred =
        IoUringSetupFlags.SingleIssuer | IoUringSetupFlags.DeferTaskRun | IoUringSetupFlags.TaskRunFlag;

    [Fact]
    public void Nops_complete_with_their_user_data_over_many_rounds()
    {
        using IoUringRing ring = Create(8);
        Assert.Equal(8, ring.Entries);
        Assert.True(ring.CompletionEntries >= 8);

        // Often enough for both queues to wrap.
        ulong expected = 0;
        ulong next = 0;
        for (int round = 0; round < 1000; round++)
        {
            for (int i = 0; i < 1 + (round % 8); i++)
            {
                Assert.True(ring.TryQueueNop(next++));
            }

            int count = ring.Pending;
            Assert.Equal(count, ring.SubmitAndWait(count, -1));
            Assert.Equal(0, ring.Pending);
            for (int i = 0; i < count; i++)
            {
                Assert.True(ring.TryTake(out IoUringCqe completion));
                Assert.Equal((expected++, 0), (completion.UserData, completion.Result));
            }

            Assert.False(ring.TryTake(out _));
        }
    }

    [Fact]
    public void Full_queue_refuses_and_works_again_after_submission()
    {
        using IoUringRing ring = Create(4);
        for (ulong i = 0; i < 4; i++)
        {
            Assert.True(ring.TryQueueNop(i));
        }

        Assert.False(ring.TryQueueNop(4));
        Assert.False(ring.TryQueueCommand(0, 0, new UblkIoCommand(), 4));
        Assert.Equal(4, ring.SubmitAndWait(4, -1));
        Assert.True(ring.TryQueueNop(4));
        Assert.Equal(1, ring.SubmitAndWait(1, -1));
    }

    [Fact]
    public void Read_fills_the_buffer()
    {
        using TempDirectory directory = new();
        string path = Path.Combine(directory.Path, "file");
        byte[] content = Enumerable.Range(0, 10_000).Select(i => (byte)(i * 7)).ToArray();
        File.WriteAllBytes(path, content);
        using FileDescriptor file = FileDescriptor.OwnOrThrow(Posix.Open(path, OpenFlags.ReadOnly), "open");
        using NativeBuffer buffer = NativeBuffer.Allocate(8192);
        using IoUringRing ring = Create(4);

        Assert.True(ring.TryQueueRead(file.Value, buffer, 1000, 5000, 123, 77));
        Assert.Equal(1, ring.SubmitAndWait(1, -1));

        Assert.True(ring.TryTake(out IoUringCqe completion));
        Assert.Equal((77UL, 5000), (completion.UserData, completion.Result));
        Assert.Equal(content[123..5123], buffer.Span.Slice(1000, 5000).ToArray());
        Assert.Throws<ArgumentOutOfRangeException>(() => ring.TryQueueRead(file.Value, buffer, 8000, 193, 0, 1));
    }

    [Fact]
    public void Failed_request_completes_with_its_errno()
    {
        using NativeBuffer buffer = NativeBuffer.Allocate(16);
        using IoUringRing ring = Create(4);
        Assert.True(ring.TryQueueRead(-1, buffer, 0, 16, 0, 1));
        Assert.Equal(1, ring.SubmitAndWait(1, -1));
        Assert.True(ring.TryTake(out IoUringCqe completion));
        Assert.Equal(-Errno.EBADF, completion.Result);
    }

    [Fact]
    public void Poll_completes_when_the_file_is_ready_and_can_be_cancelled()
    {
        using FileDescriptor file = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "eventfd");
        using IoUringRing ring = Create(4);
        Assert.True(ring.TryQueuePoll(file.Value, PollEvents.In, 1));
        Assert.Equal(1, ring.Submit());
        Assert.False(ring.HasCompletion);
        Posix.EventFdWrite(file.Value);
        Assert.Equal(0, ring.SubmitAndWait(1, 30_000));
        Assert.True(ring.TryTake(out IoUringCqe completion));
        Assert.Equal((1UL, (int)PollEvents.In), (completion.UserData, completion.Result));

        Posix.EventFdRead(file.Value);
        Assert.True(ring.TryQueuePoll(file.Value, PollEvents.In, 2));
        Assert.True(ring.TryQueueCancel(2, 3));
        Assert.Equal(2, ring.SubmitAndWait(2, 30_000));
        Dictionary<ulong, int> results = [];
        while (ring.TryTake(out completion))
        {
            results[completion.UserData] = completion.Result;
        }

        Assert.Equal((-Errno.ECANCELED, 0), (results[2], results[3]));
    }

    [Fact]
    public void Wait_ends_at_its_timeout_and_not_before()
    {
        using IoUringRing ring = Create(4);
        long start = Stopwatch.GetTimestamp();
        Assert.Equal(-Errno.ETIME, ring.SubmitAndWait(1, 20));
        Assert.True(Stopwatch.GetElapsedTime(start).TotalMilliseconds >= 19);
    }

    [Fact]
    public void Eventfd_wakes_for_completions_that_wait_to_be_posted()
    {
        // What the loop of a ublk device depends on: polling sees nothing before the owner enters the kernel.
        using FileDescriptor file = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "eventfd");
        using FileDescriptor wake = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "eventfd");
        using IoUringRing ring = Create(4, Deferred);
        Assert.Equal(0, ring.RegisterEventFd(wake.Value));
        Assert.True(ring.TryQueuePoll(file.Value, PollEvents.In, 1));
        Assert.Equal(1, ring.Submit());
        Posix.EventFdRead(wake.Value);
        Assert.False(ring.NeedsEnter);

        Thread other = new(() => Posix.EventFdWrite(file.Value));
        other.Start();
        other.Join();

        Assert.Equal((int)PollEvents.In, Posix.Poll(wake.Value, PollEvents.In, 30_000));
        Assert.True(ring.NeedsEnter);
        Assert.False(ring.HasCompletion);
        Assert.Equal(0, ring.Submit());
        Assert.True(ring.TryTake(out IoUringCqe completion));
        Assert.Equal(1UL, completion.UserData);
        Assert.False(ring.NeedsEnter);
    }

    [Fact]
    public void Ring_of_one_thread_refuses_others()
    {
        using IoUringRing ring = Create(4, Deferred);
        Assert.True(ring.TryQueueNop(1));
        int result = 0;
        Thread other = new(() => result = ring.Submit());
        other.Start();
        other.Join();
        Assert.Equal(-Errno.EEXIST, result);
        Assert.Equal(1, ring.SubmitAndWait(1, -1));
    }

    [Fact]
    public void Unknown_flags_are_dropped_and_required_ones_are_not()
    {
        const IoUringSetupFlags Unknown = (IoUringSetupFlags)0x40000000;
        using IoUringRing ring = IoUringRing.Create(4, IoUringSetupFlags.None, [Unknown, IoUringSetupFlags.Clamp]);
        Assert.Equal(IoUringSetupFlags.Clamp, ring.Flags);

        PosixException error = Assert.Throws<PosixException>(() => IoUringRing.Create(4, Unknown, IoUringSetupFlags.Clamp));
        Assert.Equal(Errno.EINVAL, error.Errno);
    }

    [Fact]
    public void Long_entries_carry_long_commands()
    {
        using IoUringRing wide = Create(4, IoUringSetupFlags.Sqe128);
        using IoUringRing narrow = Create(4);
        Assert.Equal((80, 16), (wide.CommandBytes, narrow.CommandBytes));
        Assert.Throws<ArgumentException>(() => narrow.TryQueueCommand(0, 0, new UblkControlCommand(), 1));

        // An eventfd takes no commands, and says so in the way of its kernel.
        using FileDescriptor file = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "eventfd");
        for (ulong i = 0; i < 20; i++)
        {
            Assert.True(wide.TryQueueCommand(file.Value, UblkConstants.GetFeatures, new UblkControlCommand { Data = ulong.MaxValue }, i));
            Assert.Equal(1, wide.SubmitAndWait(1, -1));
            Assert.True(wide.TryTake(out IoUringCqe completion));
            Assert.Equal((i, -Errno.EOPNOTSUPP), (completion.UserData, completion.Result));
        }
    }

    [Fact]
    public void Command_channel_brings_the_answer_of_the_driver()
    {
        FileDescriptor file = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "eventfd");
        using UblkControlChannel channel = UblkControlChannel.Create(file);
        byte[] buffer = new byte[8];
        Assert.Equal(-Errno.EOPNOTSUPP, channel.Execute(UblkConstants.GetFeatures, default, buffer, CancellationToken.None));
        using CancellationTokenSource cancellation = new();
        Assert.Equal(-Errno.EOPNOTSUPP, channel.Execute(UblkConstants.GetFeatures, default, [], cancellation.Token));
    }

    [Fact]
    public void Disposed_ring_is_closed()
    {
        IoUringRing ring = Create(4);
        int fd = ring.Descriptor;
        string target = File.ResolveLinkTarget($"/proc/self/fd/{fd}", returnFinalTarget: false)?.Name ?? string.Empty;
        Assert.Contains("io_uring", target, StringComparison.Ordinal);
        ring.Dispose();
        ring.Dispose();
    }

    private static IoUringRing Create(int entries, IoUringSetupFlags flags = IoUringSetupFlags.None)
    {
        try
        {
            return IoUringRing.Create(entries, flags);
        }
        catch (PosixException e) when (e.Errno is Errno.ENOSYS or Errno.EPERM or Errno.EINVAL)
        {
            Requires.Missing("io_uring", $"io_uring with {flags} cannot be used on this machine: {e.Message}");
            throw;
        }
    }
}
