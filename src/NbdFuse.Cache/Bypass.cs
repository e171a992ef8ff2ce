namespace NbdFuse.Cache;

/// <summary>What is remembered of a read that passes the cache by.</summary>
internal struct Bypass
{
    /// <summary>The stream that it belongs to, or -1.</summary>
    public int Stream;

    /// <summary>Which of the streams that had this number in turn.</summary>
    public long StreamSerial;

    /// <summary>Timestamp of its start.</summary>
    public long StartedAt;
}
