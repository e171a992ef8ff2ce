using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

/// <summary>The kernel's side of one queue: where requests come from and answers go to.</summary>
/// <remarks>THREADING: the loop's thread only, for all of its life: ublk takes a queue's commands from one thread.</remarks>
internal interface IUblkRing : IDisposable
{
    /// <summary>A descriptor that becomes readable, edge-triggered, when completions arrive.</summary>
    int EventDescriptor { get; }

    /// <summary>Whether <see cref="Submit"/> has something to do: answers that are queued, or completions that wait in the kernel.</summary>
    bool NeedsSubmit { get; }

    /// <summary>Whether <see cref="TryTake"/> would find one.</summary>
    bool HasCompletion { get; }

    /// <summary>Asks for the first request of a tag.</summary>
    /// <param name="tag">Number of the tag.</param>
    /// <param name="address">Its buffer.</param>
    /// <returns>False when there is no room, which a ring of the queue's depth always has.</returns>
    bool TryQueueFetch(int tag, nint address);

    /// <summary>Answers the request of a tag and asks for its next one.</summary>
    /// <param name="tag">Number of the tag.</param>
    /// <param name="result">Bytes, 0, or a negative errno.</param>
    /// <param name="address">Buffer: holds what was read, and gets what is written next.</param>
    /// <returns>False when there is no room, which a ring of the queue's depth always has.</returns>
    bool TryQueueCommit(int tag, int result, nint address);

    /// <summary>Hands over what is queued, and has completions posted. Does not wait.</summary>
    /// <returns>0 or more, or a negative errno: EAGAIN, EBUSY and EINTR leave things queued for another call.</returns>
    int Submit();

    /// <summary>Takes a completion.</summary>
    /// <param name="tag">Number of the tag.</param>
    /// <param name="result">0: a request has come; a negative errno: none will.</param>
    /// <returns>False when there is none.</returns>
    bool TryTake(out int tag, out int result);

    /// <summary>Reads the description of the request that has come for a tag.</summary>
    /// <param name="tag">Number of the tag.</param>
    UblkIoDescriptor Describe(int tag);
}
