namespace NbdFuse.Protocol;

/// <summary>
/// Flags of one request (proto.md, "Command flags").
/// </summary>
[Flags]
public enum NbdCommandFlags : ushort
{
    /// <summary>No flag.</summary>
    None = 0,

    /// <summary>NBD_CMD_FLAG_FUA: reply only when persistent; WRITE, WRITE_ZEROES and TRIM.</summary>
    Fua = 1 << 0,

    /// <summary>NBD_CMD_FLAG_NO_HOLE: WRITE_ZEROES must not deallocate.</summary>
    NoHole = 1 << 1,

    /// <summary>NBD_CMD_FLAG_DF: READ is answered in one chunk.</summary>
    Df = 1 << 2,

    /// <summary>NBD_CMD_FLAG_REQ_ONE: BLOCK_STATUS answers with one extent.</summary>
    ReqOne = 1 << 3,

    /// <summary>NBD_CMD_FLAG_FAST_ZERO: WRITE_ZEROES fails with ENOTSUP rather than be as slow as a write.</summary>
    FastZero = 1 << 4,

    /// <summary>NBD_CMD_FLAG_PAYLOAD_LEN: the length counts payload (extended headers).</summary>
    PayloadLen = 1 << 5,
}
