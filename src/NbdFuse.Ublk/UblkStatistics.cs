namespace NbdFuse.Ublk;

/// <summary>
/// What the kernel's side of a device has cost. Written by the loop; other threads see each number alone right, not all of one
/// instant. The requests themselves are counted by the queue.
/// </summary>
public sealed class UblkStatistics
{
    private long _submissions;
    private long _commits;
    private long _refused;

    /// <summary>Calls of io_uring_enter.</summary>
    public long Submissions => Volatile.Read(ref _submissions);

    /// <summary>Requests that were answered.</summary>
    public long Commits => Volatile.Read(ref _commits);

    /// <summary>Requests that made no sense, or came while everything is being failed, and were answered with an error at once.</summary>
    public long Refused => Volatile.Read(ref _refused);

    internal void CountSubmission() => _submissions++;

    internal void CountCommit() => _commits++;

    internal void CountRefused() => _refused++;
}
