namespace NbdFuse.Protocol;

/// <summary>Names of the specification for messages, so that a user can look them up.</summary>
public static class NbdNames
{
    /// <summary>Name of an option, such as NBD_OPT_GO.</summary>
    public static string Of(NbdOption option) => option switch
    {
        NbdOption.ExportName => "NBD_OPT_EXPORT_NAME",
        NbdOption.Abort => "NBD_OPT_ABORT",
        NbdOption.List => "NBD_OPT_LIST",
        NbdOption.PeekExport => "NBD_OPT_PEEK_EXPORT",
        NbdOption.StartTls => "NBD_OPT_STARTTLS",
        NbdOption.Info => "NBD_OPT_INFO",
        NbdOption.Go => "NBD_OPT_GO",
        NbdOption.StructuredReply => "NBD_OPT_STRUCTURED_REPLY",
        NbdOption.ListMetaContext => "NBD_OPT_LIST_META_CONTEXT",
        NbdOption.SetMetaContext => "NBD_OPT_SET_META_CONTEXT",
        NbdOption.ExtendedHeaders => "NBD_OPT_EXTENDED_HEADERS",
        _ => $"option {(uint)option}",
    };

    /// <summary>Name of an option reply type, such as NBD_REP_ERR_POLICY.</summary>
    public static string Of(NbdOptionReplyType type) => type switch
    {
        NbdOptionReplyType.Ack => "NBD_REP_ACK",
        NbdOptionReplyType.Server => "NBD_REP_SERVER",
        NbdOptionReplyType.Info => "NBD_REP_INFO",
        NbdOptionReplyType.MetaContext => "NBD_REP_META_CONTEXT",
        NbdOptionReplyType.ErrUnsup => "NBD_REP_ERR_UNSUP",
        NbdOptionReplyType.ErrPolicy => "NBD_REP_ERR_POLICY",
        NbdOptionReplyType.ErrInvalid => "NBD_REP_ERR_INVALID",
        NbdOptionReplyType.ErrPlatform => "NBD_REP_ERR_PLATFORM",
        NbdOptionReplyType.ErrTlsReqd => "NBD_REP_ERR_TLS_REQD",
        NbdOptionReplyType.ErrUnknown => "NBD_REP_ERR_UNKNOWN",
        NbdOptionReplyType.ErrShutdown => "NBD_REP_ERR_SHUTDOWN",
        NbdOptionReplyType.ErrBlockSizeReqd => "NBD_REP_ERR_BLOCK_SIZE_REQD",
        NbdOptionReplyType.ErrTooBig => "NBD_REP_ERR_TOO_BIG",
        NbdOptionReplyType.ErrExtHeaderReqd => "NBD_REP_ERR_EXT_HEADER_REQD",
        _ => $"reply type 0x{(uint)type:x8}",
    };
}
