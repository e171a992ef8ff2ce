namespace NbdFuse.Cli;

/// <summary>How soon a worker that has died is followed by another, and when no other follows: one that dies at once, always, helps nobody.</summary>
/// <remarks>THREADING: the keeper's thread.</remarks>
internal sealed class RestartPolicy
{
    /// <summary>Milliseconds of service after which what was before is forgotten.</summary>
    public const long StableMs = 10_000;

    // A worker that was killed while it served has most likely done nothing wrong; one that crashes, or gives up before it serves,
    // will do so again. One that is killed before it serves may be killed for want of memory, again and again.
    private const int KillWeight = 1;
    private const int EarlyKillWeight = 10;
    private const int CrashWeight = 100;
    private const int Limit = 1000;
    private const long FirstDelayMs = 100;
    private const long LongestDelayMs = 5000;
    private const long LongestDelayAfterKillMs = 500;

    private int _score;
    private int _crashes;

    /// <summary>A worker has died.</summary>
    /// <param name="wasKilled">By SIGKILL, which a process does not raise by its own faults.</param>
    /// <param name="servedMs">Milliseconds for which it had served; negative when it never did.</param>
    /// <returns>Milliseconds to wait before the next one is started; negative: no other.</returns>
    public long Next(bool wasKilled, long servedMs)
    {
        if (servedMs >= StableMs)
        {
            _score = 0;
            _crashes = 0;
        }

        bool isHarmless = wasKilled && servedMs >= 0;
        _score += isHarmless ? KillWeight : wasKilled ? EarlyKillWeight : CrashWeight;
        if (_score >= Limit)
        {
            return -1;
        }

        if (isHarmless)
        {
            return 0;
        }

        int crashes = _crashes++;
        long longest = wasKilled ? LongestDelayAfterKillMs : LongestDelayMs;
        return crashes == 0 ? 0 : Math.Min(longest, FirstDelayMs << Math.Min(crashes - 1, 16));
    }
}
