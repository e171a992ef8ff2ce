namespace NbdFuse.Protocol;

/// <summary>
/// Types of a reply to an option (proto.md, "Option reply types"). Every value with bit 31 set is an error,
/// also those that are not listed here.
/// </summary>
public enum NbdOptionReplyType : uint
{
    /// <summary>NBD_REP_ACK: the option is done.</summary>
    Ack = 1,

    /// <summary>NBD_REP_SERVER: one export of NBD_OPT_LIST.</summary>
    Server = 2,

    /// <summary>NBD_REP_INFO: one piece of information, see <see cref="NbdInfoType"/>.</summary>
    Info = 3,

    /// <summary>NBD_REP_META_CONTEXT: one metadata context.</summary>
    MetaContext = 4,

    /// <summary>NBD_REP_ERR_UNSUP: the server does not know the option.</summary>
    ErrUnsup = 0x80000001,

    /// <summary>NBD_REP_ERR_POLICY: known but forbidden.</summary>
    ErrPolicy = 0x80000002,

    /// <summary>NBD_REP_ERR_INVALID: malformed, or not legal now.</summary>
    ErrInvalid = 0x80000003,

    /// <summary>NBD_REP_ERR_PLATFORM: not built into this server.</summary>
    ErrPlatform = 0x80000004,

    /// <summary>NBD_REP_ERR_TLS_REQD: only inside TLS.</summary>
    ErrTlsReqd = 0x80000005,

    /// <summary>NBD_REP_ERR_UNKNOWN: there is no such export.</summary>
    ErrUnknown = 0x80000006,

    /// <summary>NBD_REP_ERR_SHUTDOWN: the server is shutting down.</summary>
    ErrShutdown = 0x80000007,

    /// <summary>NBD_REP_ERR_BLOCK_SIZE_REQD: ask for NBD_INFO_BLOCK_SIZE and obey it.</summary>
    ErrBlockSizeReqd = 0x80000008,

    /// <summary>NBD_REP_ERR_TOO_BIG: the request or its answer is too large.</summary>
    ErrTooBig = 0x80000009,

    /// <summary>NBD_REP_ERR_EXT_HEADER_REQD: negotiate extended headers first.</summary>
    ErrExtHeaderReqd = 0x8000000A,
}
