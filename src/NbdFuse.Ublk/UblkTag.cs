using NbdFuse.Block;

namespace NbdFuse.Ublk;

/// <summary>What the queue remembers of a tag.</summary>
internal struct UblkTag
{
    /// <summary>The request under way, or null. It may go on after its caller was answered; the buffer is then still its own.</summary>
    public BlockRequest? Request;

    /// <summary>The kernel has handed a request out that is not answered yet.</summary>
    public bool IsOwed;

    /// <summary>The kernel hands out no more.</summary>
    public bool IsEnded;

    /// <summary>For a Flush: how many writes had been completed when it began.</summary>
    public long WritesBefore;
}
