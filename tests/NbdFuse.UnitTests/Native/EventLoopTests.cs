using NbdFuse.Native;
using Xunit;

namespace NbdFuse.UnitTests.Native;

public class EventLoopTests
{
    [Fact]
    public void Posted_actions_run_on_the_loop_thread_in_order()
    {
        using TestLoop test = new();
        List<int> order = [];
        List<bool> onLoop = [];
        for (int i = 0; i < 100; i++)
        {
            int number = i;
            test.Loop.Post(() =>
            {
                order.Add(number);
                onLoop.Add(test.Loop.IsLoopThread);
            });
        }

        test.Loop.Start();
        test.Invoke(() => { });

        Assert.Equal(Enumerable.Range(0, 100), order);
        Assert.DoesNotContain(false, onLoop);
        Assert.False(test.Loop.IsLoopThread);
    }

    [Fact]
    public void A_post_wakes_a_sleeping_loop_every_time()
    {
        using TestLoop test = new(new EventLoopOptions { SpinMicroseconds = 0 });
        test.Loop.Start();
        for (int i = 0; i < 2000; i++)
        {
            // Each round finds the loop asleep, going to sleep, or awake: none may be missed.
            test.Invoke(() => { });
        }
    }

    [Fact]
    public void Post_after_the_end_is_refused()
    {
        using TestLoop test = new();
        test.Loop.Start();
        bool ran = false;
        test.Loop.Post(() => ran = true);
        test.Loop.Stop();
        test.Loop.Join();

        Assert.True(ran, "an action posted before Stop was lost");
        Assert.False(test.Loop.Post(() => { }));
        Assert.Null(test.Loop.Failure);
    }

    [Fact]
    public async Task A_readable_descriptor_calls_its_handler()
    {
        using TestLoop test = new();
        PosixException.Check(Posix.Pipe2(out int reader, out int writer, OpenFlags.NonBlocking), "pipe");
        using FileDescriptor readerOwner = FileDescriptor.Own(reader);
        using FileDescriptor writerOwner = FileDescriptor.Own(writer);
        TaskCompletionSource<int> got = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestHandler handler = new(events =>
        {
            byte[] buffer = new byte[8];
            got.TrySetResult(Posix.Read(reader, buffer));
        });
        Assert.Equal(0, test.Loop.Add(reader, EpollEvents.In, handler));
        test.Loop.Start();

        Assert.Equal(5, Posix.Write(writer, "hello"u8));
        Assert.Equal(5, await got.Task.WaitAsync(TestLoop.Patience));
        test.Invoke(() => Assert.Equal(0, test.Loop.Remove(reader)));
    }

    [Fact]
    public async Task A_handler_removed_by_another_in_the_same_batch_is_not_called()
    {
        using TestLoop test = new();
        (int Reader, int Writer)[] pipes = new (int, int)[2];
        int calls = 0;
        int replacementCalls = 0;
        TaskCompletionSource first = new(TaskCreationOptions.RunContinuationsAsynchronously);
        for (int i = 0; i < 2; i++)
        {
            PosixException.Check(Posix.Pipe2(out int reader, out int writer, OpenFlags.NonBlocking), "pipe");
            pipes[i] = (reader, writer);
            Posix.Write(writer, "x"u8);
        }

        int spareReader = -1;
        int spareWriter = -1;
        try
        {
            for (int i = 0; i < 2; i++)
            {
                int other = 1 - i;
                test.Loop.Add(pipes[i].Reader, EpollEvents.In, new TestHandler(_ =>
                {
                    calls++;
                    test.Loop.Remove(pipes[0].Reader);
                    test.Loop.Remove(pipes[1].Reader);
                    // The other's number is used again at once, by a descriptor that is not readable.
                    Posix.Close(pipes[other].Reader);
                    PosixException.Check(Posix.Pipe2(out spareReader, out spareWriter, OpenFlags.NonBlocking), "pipe");
                    Assert.Contains(pipes[other].Reader, new[] { spareReader, spareWriter });
                    test.Loop.Add(spareReader, EpollEvents.In, new TestHandler(_ => replacementCalls++));
                    first.TrySetResult();
                }));
            }

            test.Loop.Start();
            await first.Task.WaitAsync(TestLoop.Patience);
            test.Invoke(() => { });
            Assert.Null(test.Loop.Failure);
            Assert.Equal(1, calls);
            Assert.Equal(0, replacementCalls);
        }
        finally
        {
            test.Dispose();
            foreach (int fd in new[] { pipes[0].Reader, pipes[0].Writer, pipes[1].Reader, pipes[1].Writer, spareReader, spareWriter }.Distinct())
            {
                Posix.Close(fd);
            }
        }
    }

    [Fact]
    public void Registering_a_descriptor_twice_is_refused()
    {
        using TestLoop test = new();
        using FileDescriptor descriptor = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "eventfd");
        TestHandler handler = new(_ => { });
        Assert.Equal(0, test.Loop.Add(descriptor.Value, EpollEvents.In, handler));
        Assert.Throws<InvalidOperationException>(() => test.Loop.Add(descriptor.Value, EpollEvents.In, handler));
    }

    [Fact]
    public async Task Timers_fire_in_the_order_of_their_times_and_not_before()
    {
        using TestLoop test = new();
        List<string> order = [];
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        bool early = false;
        long start = test.Loop.NowMs;
        TestTimer cancelled = new(_ => order.Add("cancelled"));
        TestTimer moved = new(_ => order.Add("moved"));
        test.Loop.Schedule(new TestTimer(now =>
        {
            early |= now < start + 30;
            order.Add("late");
            done.SetResult();
        }), start + 30);
        test.Loop.Schedule(cancelled, start + 5);
        test.Loop.Schedule(moved, start + 1_000_000);
        test.Loop.Schedule(moved, start + 20);
        test.Loop.Schedule(new TestTimer(now =>
        {
            early |= now < start + 10;
            order.Add("early");
        }), start + 10);
        Assert.True(test.Loop.Cancel(cancelled));
        Assert.False(test.Loop.Cancel(cancelled));

        test.Loop.Start();
        await done.Task.WaitAsync(TestLoop.Patience);
        Assert.False(early, "a timer fired before its time");
        Assert.Equal(["early", "moved", "late"], order);
    }

    [Fact]
    public async Task A_timer_can_schedule_itself_again()
    {
        using TestLoop test = new();
        int count = 0;
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestTimer? timer = null;
        timer = new TestTimer(now =>
        {
            if (++count == 5)
            {
                done.SetResult();
                return;
            }

            test.Loop.Schedule(timer!, now);
        });
        test.Loop.Schedule(timer, 0);
        test.Loop.Start();
        await done.Task.WaitAsync(TestLoop.Patience);
        Assert.Equal(5, count);
    }

    [Fact]
    public void An_exception_of_a_handler_ends_the_loop_and_is_reported_once()
    {
        using TestLoop test = new();
        using FileDescriptor descriptor = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "eventfd");
        List<Exception> failures = [];
        bool onLoop = false;
        test.Loop.Failed += error =>
        {
            onLoop = test.Loop.IsLoopThread;
            failures.Add(error);
        };
        InvalidDataException thrown = new("broken");
        test.Loop.Add(descriptor.Value, EpollEvents.In, new TestHandler(_ => throw thrown));
        test.Loop.Start();
        Posix.EventFdWrite(descriptor.Value);
        test.Loop.Join();

        Assert.Same(thrown, Assert.Single(failures));
        Assert.Same(thrown, test.Loop.Failure);
        Assert.True(onLoop);
        Assert.False(test.Loop.Post(() => { }));
    }

    [Fact]
    public void An_exception_of_the_Failed_handler_is_kept_too()
    {
        using TestLoop test = new();
        test.Loop.Failed += _ => throw new InvalidOperationException("second");
        test.Loop.Start();
        test.Loop.Post(() => throw new InvalidDataException("first"));
        test.Loop.Join();
        AggregateException both = Assert.IsType<AggregateException>(test.Loop.Failure);
        Assert.Equal(["first", "second"], both.InnerExceptions.Select(error => error.Message));
    }

    [Fact]
    public void Another_pass_runs_all_hooks_again_and_is_bounded()
    {
        using TestLoop test = new();
        int firstRuns = 0;
        int secondRuns = 0;
        bool greedy = false;
        test.Loop.AddTurnHook(new TestHook(() => firstRuns++));
        test.Loop.AddTurnHook(new TestHook(() =>
        {
            secondRuns++;
            if (greedy || secondRuns == 1)
            {
                test.Loop.RequestAnotherPass();
            }
        }));
        test.Loop.Start();
        test.Invoke(() => { });
        test.Invoke(() => Assert.True(firstRuns >= 2, "the requested pass did not happen"));

        // A hook that never has enough must not keep posted actions out.
        test.Invoke(() => greedy = true);
        test.Invoke(() => greedy = false);
        test.Invoke(() => Assert.Equal(firstRuns, secondRuns));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(50)]
    public async Task A_steady_turn_allocates_nothing(int spinMicroseconds)
    {
        using TestLoop test = new(new EventLoopOptions { SpinMicroseconds = spinMicroseconds });
        using FileDescriptor ping = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "eventfd");
        int turns = 0;
        long before = 0;
        long allocated = -1;
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        LoopMailbox<object> mailbox = new(test.Loop, 4);
        object item = new();
        TestTimer timer = new(_ => { });
        test.Loop.Add(ping.Value, EpollEvents.In, new TestHandler(_ =>
        {
            Posix.EventFdRead(ping.Value);
            turns++;
            if (turns == 500)
            {
                // By now everything has been compiled and every list has grown.
                before = GC.GetAllocatedBytesForCurrentThread();
            }
            else if (turns == 1500)
            {
                allocated = GC.GetAllocatedBytesForCurrentThread() - before;
                done.SetResult();
                return;
            }

            test.Loop.Schedule(timer, test.Loop.NowMs);
            mailbox.TryPost(item);
            test.Loop.Modify(ping.Value, EpollEvents.In);
            Posix.EventFdWrite(ping.Value);
        }));
        test.Loop.AddTurnHook(new TestHook(() =>
        {
            while (mailbox.TryTake(out _))
            {
            }
        })
        { Spin = true });
        test.Loop.Start();
        Posix.EventFdWrite(ping.Value);
        await done.Task.WaitAsync(TestLoop.Patience);
        Assert.Equal(0, allocated);
    }

    [Fact]
    public void A_spinning_hook_does_not_keep_the_loop_from_events_and_stop()
    {
        using TestLoop test = new(new EventLoopOptions { SpinMicroseconds = 60_000_000 });
        test.Loop.AddTurnHook(new TestHook(() => { }) { Spin = true });
        test.Loop.Start();
        test.Invoke(() => { });
        test.Loop.Stop();
        test.Loop.Join();
        Assert.Null(test.Loop.Failure);
    }

    [Fact]
    public void Dispose_before_start_releases_and_refuses_posts()
    {
        EventLoop loop = new("never-started");
        loop.Dispose();
        loop.Dispose();
        Assert.False(loop.Post(() => { }));
        loop.Wake();
    }
}
