using NbdFuse.Cli;
using Xunit;

namespace NbdFuse.UnitTests;

/// <summary>When a dead worker is followed by another.</summary>
public sealed class RestartPolicyTests
{
    [Fact]
    public void Worker_that_was_killed_while_it_served_is_followed_at_once_many_times()
    {
        var policy = new RestartPolicy();
        for (int i = 0; i < 900; i++)
        {
            Assert.Equal(0, policy.Next(wasKilled: true, servedMs: 1));
        }
    }

    [Fact]
    public void Worker_that_crashes_is_followed_later_and_later_and_then_no_more()
    {
        var policy = new RestartPolicy();
        long last = 0;
        int count = 0;
        while (true)
        {
            long delay = policy.Next(wasKilled: false, servedMs: 5);
            if (delay < 0)
            {
                break;
            }

            Assert.True(delay >= last && delay <= 5000, $"{delay} after {last}");
            last = delay;
            count++;
        }

        Assert.Equal(9, count);
        Assert.Equal(5000, last);
    }

    [Fact]
    public void Worker_that_never_serves_is_given_up_also_when_it_was_killed()
    {
        var policy = new RestartPolicy();
        int count = 0;
        while (policy.Next(wasKilled: true, servedMs: -1) is >= 0 and <= 500)
        {
            count++;
        }

        Assert.Equal(99, count);
    }

    [Fact]
    public void Long_service_makes_up_for_what_was_before()
    {
        var policy = new RestartPolicy();
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal(0, policy.Next(wasKilled: false, servedMs: RestartPolicy.StableMs));
        }
    }
}
