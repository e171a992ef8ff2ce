namespace NbdFuse.Cache;

/// <summary>A reader that goes through the device in order, or in equal steps.</summary>
internal struct ReadStream
{
    /// <summary>It exists. The others are free places.</summary>
    public bool IsLive;

    /// <summary>Number of the stream among all that ever were; tells it from the next one in the same place.</summary>
    public long Serial;

    /// <summary>Where the next read will begin.</summary>
    public long Next;

    /// <summary>
    /// Bytes from the beginning of one read to that of the next, when reads leave gaps or go backwards; 0: one follows the other.
    /// </summary>
    public long Stride;

    /// <summary>Bytes of the last read.</summary>
    public int Length;

    /// <summary>Where reading ahead goes on.</summary>
    public long Ahead;

    /// <summary>How far reading ahead may be before <see cref="Next"/>: bytes of the device; with a stride, bytes that are read.</summary>
    public int Window;

    /// <summary>Count of reads at its last read.</summary>
    public long Tick;

    /// <summary>Its own reads that are under way below.</summary>
    public int Outstanding;

    /// <summary>Most of its own reads that were under way below at once.</summary>
    public int Deepest;

    /// <summary>Its reads.</summary>
    public long Reads;

    /// <summary>It has moved on since it was last looked at.</summary>
    public bool IsWanted;

    /// <summary>Segments in a row that were dropped unread.</summary>
    public int Strikes;

    /// <summary>Where the present measurement of the rate ends.</summary>
    public long RoundEnd;

    /// <summary>Where it began.</summary>
    public long RoundStart;

    /// <summary>When it began.</summary>
    public long RoundTime;

    /// <summary>Rate before the window last grew, in bytes per unit of the clock.</summary>
    public double RateBefore;

    /// <summary>The window has just grown: the next rate tells whether that was worth it.</summary>
    public bool IsProbing;

    /// <summary>Rounds until the window may grow again.</summary>
    public int Hold;

    /// <summary>The hold after the next growth that was not worth it.</summary>
    public int NextHold;
}
