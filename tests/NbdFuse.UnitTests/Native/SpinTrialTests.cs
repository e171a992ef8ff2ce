using NbdFuse.Native;
using Xunit;

namespace NbdFuse.UnitTests.Native;

public sealed class SpinTrialTests
{
    private const int TrialWaits = SpinTrial.WaitsPerTurn * SpinTrial.TurnsPerTrial;

    [Theory]
    [InlineData(20, 40, true)]
    [InlineData(40, 20, false)]
    [InlineData(38, 40, false)]
    public void The_kind_of_wait_that_was_clearly_shorter_is_kept(int polledMicroseconds, int sleptMicroseconds, bool polls)
    {
        SpinTrial trial = new();
        int polled = Run(trial, TrialWaits, polledMicroseconds, sleptMicroseconds);
        Assert.Equal(TrialWaits / 2, polled);

        int kept = Run(trial, SpinTrial.WaitsPerOutcome - 1, polledMicroseconds, sleptMicroseconds);
        Assert.Equal(polls ? SpinTrial.WaitsPerOutcome - 1 : 0, kept);
    }

    [Fact]
    public void A_changed_load_is_noticed_by_the_next_trial()
    {
        SpinTrial trial = new();
        Run(trial, TrialWaits, 20, 40);
        Assert.True(trial.Polls);

        Run(trial, SpinTrial.WaitsPerOutcome + TrialWaits, 40, 20);
        Assert.False(trial.Polls);

        Run(trial, SpinTrial.WaitsPerOutcome + TrialWaits, 20, 40);
        Assert.True(trial.Polls);
    }

    [Fact]
    public void Idle_waits_do_not_count()
    {
        SpinTrial trial = new();
        for (int i = 0; i < TrialWaits; i++)
        {
            // Idle for long whenever it polls: counted, they would speak against polling.
            trial.Record(Ticks(trial.Polls ? 20 : 40));
            trial.Record(Ticks(trial.Polls ? SpinTrial.LongestMicroseconds + 1 : 40));
        }

        Assert.True(trial.Polls);
    }

    private static int Run(SpinTrial trial, int waits, int polledMicroseconds, int sleptMicroseconds)
    {
        int polled = 0;
        for (int i = 0; i < waits; i++)
        {
            polled += trial.Polls ? 1 : 0;
            trial.Record(Ticks(trial.Polls ? polledMicroseconds : sleptMicroseconds));
        }

        return polled;
    }

    private static long Ticks(int microseconds) => microseconds * MonotonicClock.TicksPerMicrosecond;
}
