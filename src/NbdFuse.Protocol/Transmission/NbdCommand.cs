namespace NbdFuse.Protocol;

/// <summary>
/// Commands of the transmission phase (proto.md, "Request types").
/// </summary>
public enum NbdCommand : ushort
{
    /// <summary>NBD_CMD_READ.</summary>
    Read = 0,

    /// <summary>NBD_CMD_WRITE.</summary>
    Write = 1,

    /// <summary>NBD_CMD_DISC: soft disconnect; has no reply.</summary>
    Disc = 2,

    /// <summary>NBD_CMD_FLUSH: make everything persistent that was replied to before.</summary>
    Flush = 3,

    /// <summary>NBD_CMD_TRIM: the content becomes undefined.</summary>
    Trim = 4,

    /// <summary>NBD_CMD_CACHE: advice to prefetch.</summary>
    Cache = 5,

    /// <summary>NBD_CMD_WRITE_ZEROES: the range reads as zeroes.</summary>
    WriteZeroes = 6,

    /// <summary>NBD_CMD_BLOCK_STATUS: query metadata contexts.</summary>
    BlockStatus = 7,

    /// <summary>NBD_CMD_RESIZE (extension).</summary>
    Resize = 8,
}
