namespace NbdFuse.Native;

/// <summary>
/// Finds out by measuring whether polling before a sleep makes waits shorter on this machine, and decides by it.
/// </summary>
/// <remarks>
/// Polling saves the wake-up of this thread, but keeps a processor from the peer that is waited for: with few processors, or
/// where waking another one is expensive (virtual machines), a loop that polls may wait longer than one that sleeps. Both were
/// seen: it doubled the rate at depth 1 on one machine, and took an eighth of it on another. So waits are timed in short turns of
/// both kinds, the better kind is kept for a while, and then tried again, as the load may have changed.
/// THREADING: one thread, the loop's. Allocates nothing.
/// </remarks>
internal sealed class SpinTrial
{
    /// <summary>Waits of one kind in a row; long enough for the scheduler to settle.</summary>
    internal const int WaitsPerTurn = 32;

    /// <summary>Turns of a trial, of alternating kind, so that a change of the load does not speak for one of them.</summary>
    internal const int TurnsPerTrial = 8;

    /// <summary>Waits that follow the outcome of a trial: the trial costs about 3 % of them.</summary>
    internal const int WaitsPerOutcome = 8192;

    /// <summary>A longer wait, in microseconds, was idleness and says nothing about either kind.</summary>
    internal const int LongestMicroseconds = 1000;

    private int _waits;
    private int _turn;
    private bool _settled;
    private long _polledTicks;
    private long _sleptTicks;

    /// <summary>Whether the next wait shall poll before it sleeps.</summary>
    internal bool Polls { get; private set; }

    /// <summary>Takes note of a wait that ended with an event.</summary>
    /// <param name="ticks">How long it took, in <see cref="System.Diagnostics.Stopwatch"/> ticks.</param>
    internal void Record(long ticks)
    {
        if (ticks > LongestMicroseconds * MonotonicClock.TicksPerMicrosecond)
        {
            return;
        }

        _waits++;
        if (_settled)
        {
            if (_waits >= WaitsPerOutcome)
            {
                Restart();
            }

            return;
        }

        if (Polls)
        {
            _polledTicks += ticks;
        }
        else
        {
            _sleptTicks += ticks;
        }

        if (_waits >= WaitsPerTurn)
        {
            EndTurn();
        }
    }

    private void EndTurn()
    {
        _waits = 0;
        if (++_turn < TurnsPerTrial)
        {
            Polls = !Polls;
            return;
        }

        _settled = true;
        // Polling burns a processor: it has to be clearly better, by a tenth.
        Polls = _polledTicks * 10 < _sleptTicks * 9;
    }

    private void Restart()
    {
        _settled = false;
        _waits = 0;
        _turn = 0;
        _polledTicks = 0;
        _sleptTicks = 0;
        Polls = false;
    }
}
