using NbdFuse.Cli;
using Xunit;

namespace NbdFuse.UnitTests.Cli;

/// <summary>Which signal ends how.</summary>
public sealed class TerminationSignalTests
{
    [Fact]
    public async Task First_signal_asks_and_the_second_ends_at_once()
    {
        int ends = 0;
        using var signals = new TerminationSignals(() => ends++);

        signals.OnSignal(15);

        Assert.Equal(15, await signals.First.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken));
        Assert.True(signals.Token.IsCancellationRequested);
        Assert.Equal(0, ends);

        signals.OnSignal(2);

        Assert.Equal(1, ends);
    }

    [Fact]
    public void First_signal_after_the_work_is_done_ends_at_once()
    {
        int ends = 0;
        using var signals = new TerminationSignals(() => ends++);
        signals.ExpectEnd();

        signals.OnSignal(15);

        Assert.Equal(1, ends);
        Assert.False(signals.First.IsCompleted);
    }

    [Fact]
    public void Handler_that_runs_while_the_signals_are_disposed_does_not_throw()
    {
        var signals = new TerminationSignals(() => Assert.Fail("this is the first signal"));
        signals.Dispose();

        Assert.Null(Record.Exception(() => signals.OnSignal(15)));
    }
}
