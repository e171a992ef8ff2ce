namespace NbdFuse.Protocol;

/// <summary>
/// Status of an extent in the context base:allocation (proto.md, "base:allocation metadata context"). Unknown bits are ignored.
/// </summary>
[Flags]
public enum NbdAllocation : uint
{
    /// <summary>Allocated, or unknown; the content is to be read.</summary>
    None = 0,

    /// <summary>NBD_STATE_HOLE: not allocated. Alone it says nothing about the content.</summary>
    Hole = 1 << 0,

    /// <summary>NBD_STATE_ZERO: reads as zeroes.</summary>
    Zero = 1 << 1,
}
