namespace NbdFuse.Cache;

/// <summary>
/// Whether the cache is of use to those who read now: of their last reads, were there any that it answered? Where there were
/// none only each eighth miss is worth looking at, which is enough to learn that they have begun to read something again.
/// </summary>
/// <remarks>
/// It costs a fifth more processor time per read to keep what random reads over a large device bring, and to find out that
/// it will not be asked for again (docs/PERFORMANCE.md).
/// THREADING: one thread. Allocates nothing.
/// </remarks>
internal sealed class CacheUse
{
    /// <summary>Reads that are judged together.</summary>
    internal const int RoundReads = 512;

    /// <summary>Hits of a round that show that the cache is of use: one in 64.</summary>
    internal const int EnoughHits = RoundReads / 64;

    /// <summary>Of so many misses of no use one is looked at all the same. A power of two.</summary>
    internal const int SampledMisses = 8;

    private int _hits;
    private int _misses;
    private bool _isOfNoUse;

    /// <summary>Whether the last read was the last one of a round.</summary>
    internal bool IsRoundOver => _hits + _misses == 0;

    /// <summary>Notes a read that memory answered, or another one that was under way.</summary>
    internal void Hit()
    {
        if (++_hits >= EnoughHits)
        {
            // Not at the end of the round only: what was read a moment ago may just have begun to be read again.
            _isOfNoUse = false;
        }

        EndRound();
    }

    /// <summary>Notes a read that memory had nothing of.</summary>
    /// <returns>True when it is better left alone.</returns>
    internal bool Miss()
    {
        _misses++;
        EndRound();
        return _isOfNoUse && (_misses & (SampledMisses - 1)) != 0;
    }

    private void EndRound()
    {
        if (_hits + _misses >= RoundReads)
        {
            _isOfNoUse = _hits < EnoughHits;
            _hits = 0;
            _misses = 0;
        }
    }
}
