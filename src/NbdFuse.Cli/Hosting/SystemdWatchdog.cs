using System.Globalization;

namespace NbdFuse.Cli;

/// <summary>
/// The watchdog of systemd: as long as the loop of the data plane answers, systemd hears so. A loop that hangs, or has died, is not
/// vouched for by anybody, and systemd ends the process (WatchdogSec=).
/// </summary>
/// <remarks>THREADING: control plane; only the answer comes from the loop, which sends nothing itself: the socket might block.</remarks>
internal sealed class SystemdWatchdog : IAsyncDisposable
{
    private readonly Func<Action, bool> _post;
    private readonly Action<string> _notify;
    private readonly CancellationTokenSource _end = new();
    private readonly Task _task;

    private SystemdWatchdog(TimeSpan? interval, Func<Action, bool> post, Action<string> notify)
    {
        _post = post;
        _notify = notify;
        _task = interval is { } pause ? RunAsync(pause) : Task.CompletedTask;
    }

    /// <summary>How often systemd wants to hear from this process, halved so that one late answer does no harm; null for never.</summary>
    /// <param name="microseconds">WATCHDOG_USEC.</param>
    /// <param name="pid">WATCHDOG_PID: whom it means; null or empty for everybody.</param>
    public static TimeSpan? Interval(string? microseconds, string? pid) =>
        ulong.TryParse(microseconds, NumberStyles.None, CultureInfo.InvariantCulture, out ulong value) && value is > 0 and <= int.MaxValue * 1000UL
            && (string.IsNullOrEmpty(pid) || pid == Environment.ProcessId.ToString(CultureInfo.InvariantCulture))
            ? TimeSpan.FromMicroseconds(Math.Max(1, value / 2))
            : null;

    /// <summary>Begins to vouch for a loop, if systemd wants that.</summary>
    /// <param name="post">Hands an action to the loop; false when that has ended.</param>
    /// <param name="notify">Sends a state to systemd.</param>
    /// <returns>To be disposed; it does nothing when nobody wants that.</returns>
    public static SystemdWatchdog Start(Func<Action, bool> post, Action<string> notify) => new(
        Interval(Environment.GetEnvironmentVariable("WATCHDOG_USEC"), Environment.GetEnvironmentVariable("WATCHDOG_PID")), post, notify);

    /// <summary>Begins to vouch for a loop.</summary>
    /// <param name="interval">Pause between two questions.</param>
    /// <param name="post">Hands an action to the loop; false when that has ended.</param>
    /// <param name="notify">Sends a state to systemd.</param>
    public static SystemdWatchdog Start(TimeSpan interval, Func<Action, bool> post, Action<string> notify) => new(interval, post, notify);

    /// <summary>Vouches no more.</summary>
    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync().ConfigureAwait(false);
        await _task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _end.Dispose();
    }

    private async Task RunAsync(TimeSpan pause)
    {
        while (true)
        {
            // One question at a time: a loop that hangs is not buried under them.
            var answer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (!_post(answer.SetResult))
            {
                return;
            }

            await answer.Task.WaitAsync(_end.Token).ConfigureAwait(false);
            _notify("WATCHDOG=1");
            await Task.Delay(pause, _end.Token).ConfigureAwait(false);
        }
    }
}
