namespace NbdFuse.Protocol;

/// <summary>
/// Holds the extents of one block status chunk against the rules (proto.md, NBD_REPLY_TYPE_BLOCK_STATUS), one by one, in
/// whatever pieces they arrive. A plain value: it is kept where the state of the request is.
/// </summary>
public struct NbdBlockStatusCheck
{
    private ulong _covered;
    private bool _reachedEnd;

    /// <summary>Bytes that the extents so far cover, from the offset of the request on; may reach past the export's end.</summary>
    public readonly ulong Covered => _covered;

    /// <summary>Takes the next extent.</summary>
    /// <param name="extent">The extent.</param>
    /// <param name="requested">Length of the request in bytes, more than 0.</param>
    /// <param name="one">Whether the request had NBD_CMD_FLAG_REQ_ONE.</param>
    /// <param name="narrow">Whether the context has a status of 32 bits, as all of the namespace base.</param>
    /// <returns>Null when the extent is legal, else the rule that it breaks.</returns>
    public string? Add(NbdBlockExtent extent, ulong requested, bool one, bool narrow)
    {
        if (extent.Length == 0)
        {
            return "the length of an extent must be nonzero";
        }

        if (_reachedEnd)
        {
            return "all extents but the last must end before the requested length";
        }

        if (one && _covered != 0)
        {
            return "with NBD_CMD_FLAG_REQ_ONE a chunk has exactly one extent";
        }

        if (one && extent.Length > requested)
        {
            return "with NBD_CMD_FLAG_REQ_ONE the extent must not exceed the requested length";
        }

        if (narrow && extent.Status > uint.MaxValue)
        {
            return "the upper 32 bits of the status must be zero in a context whose status has 32 bits";
        }

        // The last one may reach past the request, and as far as the server likes: whoever uses it cuts it at the export's end.
        _covered = extent.Length > ulong.MaxValue - _covered ? ulong.MaxValue : _covered + extent.Length;
        _reachedEnd = _covered >= requested;
        return null;
    }
}
