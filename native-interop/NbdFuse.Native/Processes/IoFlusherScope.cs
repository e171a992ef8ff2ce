namespace NbdFuse.Native;

/// <summary>
/// Marks the calling thread PR_SET_IO_FLUSHER for the time of a start, so that what it starts inherits the mark; the thread
/// itself gets back what it had. Best effort.
/// </summary>
internal readonly ref struct IoFlusherScope
{
    private readonly bool _isOurs;

    /// <summary>Sets the mark.</summary>
    /// <param name="wanted">False: do nothing.</param>
    public IoFlusherScope(bool wanted) =>
        _isOurs = wanted && Posix.Prctl(Posix.PrGetIoFlusher) == 0 && Posix.Prctl(Posix.PrSetIoFlusher, 1) == 0;

    /// <summary>Takes it off again.</summary>
    public void Dispose()
    {
        if (_isOurs)
        {
            Posix.Prctl(Posix.PrSetIoFlusher, 0);
        }
    }
}
