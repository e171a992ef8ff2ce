namespace NbdFuse.Fuse;

public sealed partial class FuseSession
{
    /// <summary>
    /// Whether the device has acknowledged a write that no FLUSH sent after it covers. Any thread; exact once the session has
    /// ended and the queue is idle.
    /// </summary>
    public bool HasUnflushedWrites => Interlocked.Read(ref _writes) != Interlocked.Read(ref _flushedWrites);
}
