namespace NbdFuse.Protocol;

/// <summary>
/// Options of the haggling phase (proto.md, "Option types").
/// </summary>
public enum NbdOption : uint
{
    /// <summary>NBD_OPT_EXPORT_NAME: choose an export and start transmission; failure is a closed connection.</summary>
    ExportName = 1,

    /// <summary>NBD_OPT_ABORT: end the session without entering transmission.</summary>
    Abort = 2,

    /// <summary>NBD_OPT_LIST: ask for the exports by name.</summary>
    List = 3,

    /// <summary>NBD_OPT_PEEK_EXPORT: withdrawn from the specification; the number stays reserved.</summary>
    PeekExport = 4,

    /// <summary>NBD_OPT_STARTTLS: continue inside TLS.</summary>
    StartTls = 5,

    /// <summary>NBD_OPT_INFO: ask about an export without choosing it.</summary>
    Info = 6,

    /// <summary>NBD_OPT_GO: choose an export, with errors and information.</summary>
    Go = 7,

    /// <summary>NBD_OPT_STRUCTURED_REPLY: use structured replies from here on.</summary>
    StructuredReply = 8,

    /// <summary>NBD_OPT_LIST_META_CONTEXT: list the metadata contexts of an export.</summary>
    ListMetaContext = 9,

    /// <summary>NBD_OPT_SET_META_CONTEXT: choose metadata contexts for NBD_CMD_BLOCK_STATUS.</summary>
    SetMetaContext = 10,

    /// <summary>NBD_OPT_EXTENDED_HEADERS: use 32-byte headers with 64-bit lengths.</summary>
    ExtendedHeaders = 11,
}
