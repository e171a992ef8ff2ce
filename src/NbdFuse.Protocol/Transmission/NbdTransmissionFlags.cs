namespace NbdFuse.Protocol;

/// <summary>
/// What an export can do (proto.md, "Transmission flags"). A client must not use a feature whose flag is
/// clear, and ignores unknown bits.
/// </summary>
[Flags]
public enum NbdTransmissionFlags : ushort
{
    /// <summary>No flag; a server always sets <see cref="HasFlags"/>.</summary>
    None = 0,

    /// <summary>NBD_FLAG_HAS_FLAGS: always set.</summary>
    HasFlags = 1 << 0,

    /// <summary>NBD_FLAG_READ_ONLY: writes are refused.</summary>
    ReadOnly = 1 << 1,

    /// <summary>NBD_FLAG_SEND_FLUSH: NBD_CMD_FLUSH.</summary>
    SendFlush = 1 << 2,

    /// <summary>NBD_FLAG_SEND_FUA: NBD_CMD_FLAG_FUA.</summary>
    SendFua = 1 << 3,

    /// <summary>NBD_FLAG_ROTATIONAL: seeks are expensive.</summary>
    Rotational = 1 << 4,

    /// <summary>NBD_FLAG_SEND_TRIM: NBD_CMD_TRIM.</summary>
    SendTrim = 1 << 5,

    /// <summary>NBD_FLAG_SEND_WRITE_ZEROES: NBD_CMD_WRITE_ZEROES and NBD_CMD_FLAG_NO_HOLE.</summary>
    SendWriteZeroes = 1 << 6,

    /// <summary>NBD_FLAG_SEND_DF: NBD_CMD_FLAG_DF.</summary>
    SendDf = 1 << 7,

    /// <summary>NBD_FLAG_CAN_MULTI_CONN: a flush on one connection is valid for all.</summary>
    CanMultiConn = 1 << 8,

    /// <summary>NBD_FLAG_SEND_RESIZE: NBD_CMD_RESIZE (extension).</summary>
    SendResize = 1 << 9,

    /// <summary>NBD_FLAG_SEND_CACHE: NBD_CMD_CACHE.</summary>
    SendCache = 1 << 10,

    /// <summary>NBD_FLAG_SEND_FAST_ZERO: NBD_CMD_FLAG_FAST_ZERO.</summary>
    SendFastZero = 1 << 11,

    /// <summary>NBD_FLAG_BLOCK_STATUS_PAYLOAD: NBD_CMD_BLOCK_STATUS with a payload (extended headers).</summary>
    BlockStatusPayload = 1 << 12,
}
