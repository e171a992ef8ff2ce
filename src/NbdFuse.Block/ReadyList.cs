namespace NbdFuse.Block;

/// <summary>
/// Requests that have ended and wait for their completions to run. One per event loop.
/// </summary>
/// <remarks>
/// Completions never run inside a parser or a Submit: a reply handler that submits the next request would otherwise
/// recurse once per waiting request, on a small stack, with the parser's state half updated.
/// THREADING: the loop's thread only.
/// </remarks>
public sealed class ReadyList
{
    private BlockRequestList _ready;

    /// <summary>True when nothing waits.</summary>
    public bool IsEmpty => _ready.IsEmpty;

    internal void Add(BlockRequest request) => _ready.AddLast(request);

    /// <summary>Runs completions until none is left, those that are added meanwhile included.</summary>
    public void Run()
    {
        while (_ready.TryTakeFirst(out BlockRequest? request))
        {
            request.Unwind();
        }
    }
}
