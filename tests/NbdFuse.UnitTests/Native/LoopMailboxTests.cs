using NbdFuse.Native;
using Xunit;

namespace NbdFuse.UnitTests.Native;

public class LoopMailboxTests
{
    [Fact]
    public void A_full_mailbox_refuses_and_takes_again_after_a_take()
    {
        using EventLoop loop = new("mailbox");
        LoopMailbox<string> mailbox = new(loop, 2);
        Assert.Equal(2, mailbox.Capacity);
        Assert.False(mailbox.TryTake(out _));
        Assert.True(mailbox.TryPost("a"));
        Assert.True(mailbox.TryPost("b"));
        Assert.False(mailbox.TryPost("c"));
        Assert.True(mailbox.TryTake(out string? item));
        Assert.Equal("a", item);
        Assert.True(mailbox.TryPost("c"));
        Assert.True(mailbox.TryTake(out item));
        Assert.Equal("b", item);
        Assert.True(mailbox.TryTake(out item));
        Assert.Equal("c", item);
        Assert.False(mailbox.TryTake(out _));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(50)]
    public async Task Several_producers_lose_and_reorder_nothing(int spinMicroseconds)
    {
        const int Producers = 4;
        const int PerProducer = 20_000;
        using TestLoop test = new(new EventLoopOptions { SpinMicroseconds = spinMicroseconds });
        LoopMailbox<Tuple<int, int>> mailbox = new(test.Loop, 64);
        int[] next = new int[Producers];
        int taken = 0;
        string? wrong = null;
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        test.Loop.AddTurnHook(new TestHook(() =>
        {
            while (mailbox.TryTake(out Tuple<int, int>? item))
            {
                if (next[item.Item1]++ != item.Item2)
                {
                    wrong ??= $"producer {item.Item1}: {item.Item2}";
                }

                if (++taken == Producers * PerProducer)
                {
                    done.SetResult();
                }
            }
        })
        { Spin = true });
        test.Loop.Start();

        Thread[] threads = Enumerable.Range(0, Producers).Select(producer => new Thread(() =>
        {
            for (int i = 0; i < PerProducer; i++)
            {
                Tuple<int, int> item = Tuple.Create(producer, i);
                while (!mailbox.TryPost(item))
                {
                    Thread.Yield();
                }
            }
        })).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());

        await done.Task.WaitAsync(TestLoop.Patience);
        Assert.Null(wrong);
    }
}
