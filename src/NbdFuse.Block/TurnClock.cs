using System.Diagnostics;

namespace NbdFuse.Block;

/// <summary>
/// The time, read once per turn of the loop: requests that come or end together need no clock each. THREADING: the loop's thread only.
/// </summary>
internal struct TurnClock
{
    // Ticks of Stopwatch; 0: not read yet in this turn.
    private long _ticks;

    /// <summary>The time of this turn, in ticks of <see cref="Stopwatch"/>.</summary>
    public long Now()
    {
        if (_ticks == 0)
        {
            _ticks = Stopwatch.GetTimestamp();
        }

        return _ticks;
    }

    /// <summary>The turn is over: the next one has a time of its own.</summary>
    public void EndTurn() => _ticks = 0;
}
