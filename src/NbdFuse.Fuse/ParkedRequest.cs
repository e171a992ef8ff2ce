namespace NbdFuse.Fuse;

/// <summary>A request that was read while the queue was full, and waits for room.</summary>
internal struct ParkedRequest
{
    /// <summary>Number of its buffer.</summary>
    public int Buffer;

    /// <summary>Bytes read.</summary>
    public int Length;

    /// <summary>Bytes of payload that it brought or will ask for.</summary>
    public int Payload;

    /// <summary>The kernel's number of the request.</summary>
    public ulong Unique;

    /// <summary>Monotonic milliseconds at which it was read.</summary>
    public long ReadMs;

    /// <summary>The kernel asked to interrupt it.</summary>
    public bool Interrupted;

    /// <summary>A close waits for it (FUSE_FLUSH).</summary>
    public bool IsClose;
}
