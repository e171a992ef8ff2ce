namespace NbdFuse.Client.Transmission;

/// <summary>
/// When to try the server again: at once, then ever more rarely. Under a second at first, so that a restart of the server
/// is hardly noticed; some seconds later, so that a thousand clients do not fall upon a server that comes back.
/// </summary>
internal sealed class ReconnectBackoff
{
    private const int FirstMs = 100;
    private const int QuickMs = 800;
    private const int SlowMs = 4000;
    private const int QuickForMs = 60_000;
    private const int FirstAttemptMs = 3000;
    private const int LongestAttemptMs = 60_000;
    private readonly Random _random;
    private readonly long _startMs;
    private int _timedOut;

    /// <summary>Begins.</summary>
    /// <param name="nowMs">Monotonic milliseconds.</param>
    /// <param name="hurry">Try the first time without delay.</param>
    /// <param name="random">Source of the jitter.</param>
    public ReconnectBackoff(long nowMs, bool hurry, Random random)
    {
        _startMs = nowMs;
        _random = random;
        Attempts = hurry ? 0 : 1;
    }

    /// <summary>Attempts so far; one without an attempt counts when there was no hurry.</summary>
    public int Attempts { get; private set; }

    /// <summary>
    /// Time for the next attempt. Short at first: a connection request that got lost is repeated ever more rarely by the
    /// system, and a new one may come through at once. Longer after each attempt that took all its time.
    /// </summary>
    public TimeSpan AttemptTimeout =>
        TimeSpan.FromMilliseconds(Math.Min((long)FirstAttemptMs << Math.Min(_timedOut, 10), LongestAttemptMs));

    /// <summary>The last attempt took all its time.</summary>
    public void NoteTimeout() => _timedOut++;

    /// <summary>Counts an attempt.</summary>
    /// <param name="nowMs">Monotonic milliseconds.</param>
    /// <returns>How long to wait before it; a quarter more or less at random.</returns>
    public TimeSpan Next(long nowMs)
    {
        int attempt = Attempts++;
        if (attempt == 0)
        {
            return TimeSpan.Zero;
        }

        int most = nowMs - _startMs < QuickForMs ? QuickMs : SlowMs;
        long delay = Math.Min((long)FirstMs << Math.Min(attempt - 1, 10), most);
        return TimeSpan.FromMilliseconds(delay * (0.75 + (_random.NextDouble() / 2)));
    }
}
