using System.Diagnostics.CodeAnalysis;

namespace NbdFuse.Block;

/// <summary>
/// First-in-first-out list of requests, linked through the requests themselves, so that queuing never allocates.
/// A request is in one list at a time: that of its present holder. A mutable struct: keep it in a field.
/// </summary>
public struct BlockRequestList
{
    private BlockRequest? _first;
    private BlockRequest? _last;

    /// <summary>True when the list holds nothing.</summary>
    public readonly bool IsEmpty => _first is null;

    /// <summary>The oldest request, or null.</summary>
    public readonly BlockRequest? First => _first;

    /// <summary>Appends a request that is in no list.</summary>
    /// <param name="request">The request.</param>
    /// <exception cref="InvalidOperationException">The request is in a list already.</exception>
    public void AddLast(BlockRequest request)
    {
        if (request.IsListed)
        {
            throw new InvalidOperationException("A request was queued while it was in another queue.");
        }

        request.IsListed = true;
        if (_last is null)
        {
            _first = request;
        }
        else
        {
            _last.Next = request;
        }

        _last = request;
    }

    /// <summary>Takes the oldest request.</summary>
    /// <param name="request">The request, when there was one.</param>
    /// <returns>False when the list is empty.</returns>
    public bool TryTakeFirst([NotNullWhen(true)] out BlockRequest? request)
    {
        request = _first;
        if (request is null)
        {
            return false;
        }

        _first = request.Next;
        if (_first is null)
        {
            _last = null;
        }

        request.Next = null;
        request.IsListed = false;
        return true;
    }

    /// <summary>Takes a request out of the middle of the list.</summary>
    /// <param name="request">A request of this list.</param>
    /// <returns>False when the list does not hold it.</returns>
    public bool Remove(BlockRequest request)
    {
        BlockRequest? previous = null;
        for (BlockRequest? candidate = _first; candidate is not null; candidate = candidate.Next)
        {
            if (ReferenceEquals(candidate, request))
            {
                if (previous is null)
                {
                    _first = candidate.Next;
                }
                else
                {
                    previous.Next = candidate.Next;
                }

                if (ReferenceEquals(_last, candidate))
                {
                    _last = previous;
                }

                candidate.Next = null;
                candidate.IsListed = false;
                return true;
            }

            previous = candidate;
        }

        return false;
    }
}
