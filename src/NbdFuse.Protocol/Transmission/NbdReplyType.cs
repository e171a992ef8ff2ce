namespace NbdFuse.Protocol;

/// <summary>
/// Types of a structured reply chunk (proto.md, "Structured reply types"). Every value with bit 15 set is an
/// error, also those that are not listed here.
/// </summary>
public enum NbdReplyType : ushort
{
    /// <summary>NBD_REPLY_TYPE_NONE: no payload; always the last chunk.</summary>
    None = 0,

    /// <summary>NBD_REPLY_TYPE_OFFSET_DATA: offset and content.</summary>
    OffsetData = 1,

    /// <summary>NBD_REPLY_TYPE_OFFSET_HOLE: offset and length of zeroes.</summary>
    OffsetHole = 2,

    /// <summary>NBD_REPLY_TYPE_BLOCK_STATUS: extents of one context.</summary>
    BlockStatus = 5,

    /// <summary>NBD_REPLY_TYPE_BLOCK_STATUS_EXT: the same with 64-bit lengths.</summary>
    BlockStatusExt = 6,

    /// <summary>NBD_REPLY_TYPE_ERROR: the request failed.</summary>
    Error = 0x8001,

    /// <summary>NBD_REPLY_TYPE_ERROR_OFFSET: the request failed at an offset.</summary>
    ErrorOffset = 0x8002,
}
