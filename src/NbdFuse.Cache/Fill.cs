using System.Diagnostics.CodeAnalysis;
using NbdFuse.Block;

namespace NbdFuse.Cache;

/// <summary>
/// A read that the cache sends down for itself: for callers that wait, or ahead of them. Made once, used again and again.
/// </summary>
internal sealed class Fill(ReadyList ready, int id, Memory<byte> memory)
{
    private BlockRequestList _waiters;

    /// <summary>Its number among those of its kind.</summary>
    public int Id { get; } = id;

    /// <summary>The request that goes down.</summary>
    public BlockRequest Request { get; } = new(ready, id);

    /// <summary>Memory of its own; empty for one that fills its lender's buffer.</summary>
    public Memory<byte> Memory { get; } = memory;

    /// <summary>The caller whose buffer is filled directly, when its range is whole granules; else null.</summary>
    public BlockRequest? Lender { get; set; }

    /// <summary>First byte.</summary>
    public long Start { get; private set; }

    /// <summary>First byte after it.</summary>
    public long End { get; private set; }

    /// <summary>
    /// A write to the range has started since: what arrives may be older than that write. It still serves those who had asked
    /// before, and nobody else, and is not kept.
    /// </summary>
    public bool IsTainted { get; set; }

    /// <summary>The content is there (segments).</summary>
    public bool IsReady { get; set; }

    /// <summary>Bytes that were asked for (segments).</summary>
    public int Used { get; set; }

    /// <summary>Count of reads at its last use (segments).</summary>
    public long Tick { get; set; }

    /// <summary>The stream that it belongs to, or -1.</summary>
    public int Stream { get; set; } = -1;

    /// <summary>Which of the streams that had this number in turn.</summary>
    public long StreamSerial { get; set; }

    /// <summary>Timestamp of its start.</summary>
    public long StartedAt { get; set; }

    /// <summary>Bytes.</summary>
    public int Length => (int)(End - Start);

    /// <summary>Whether somebody waits for it.</summary>
    public bool HasWaiters => !_waiters.IsEmpty;

    /// <summary>What was read, or will be.</summary>
    public Span<byte> Content => Request.Buffer.Span;

    /// <summary>Prepares the request.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    /// <param name="buffer">Exactly that many bytes.</param>
    public void Prepare(long start, long end, Memory<byte> buffer)
    {
        Start = start;
        End = end;
        IsTainted = false;
        IsReady = false;
        Used = 0;
        Request.Reset();
        Request.Operation = BlockOperation.Read;
        Request.Offset = start;
        Request.Length = end - start;
        Request.Buffer = buffer;
    }

    /// <summary>Adds one who waits.</summary>
    /// <param name="request">A read within the range, or for a segment one that overlaps it.</param>
    public void AddWaiter(BlockRequest request) => _waiters.AddLast(request);

    /// <summary>Takes the one who has waited longest.</summary>
    /// <param name="request">The read.</param>
    public bool TryTakeWaiter([NotNullWhen(true)] out BlockRequest? request) => _waiters.TryTakeFirst(out request);

    /// <summary>Takes one who waits.</summary>
    /// <param name="request">The read.</param>
    /// <returns>False when it does not wait here.</returns>
    public bool RemoveWaiter(BlockRequest request) => _waiters.Remove(request);
}
