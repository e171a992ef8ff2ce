namespace NbdFuse.Protocol;

/// <summary>
/// Magic numbers. All integers on the wire are big-endian. "proto.md" and "uri.md" in this project are those of
/// https://github.com/NetworkBlockDevice/nbd/tree/master/doc.
/// </summary>
public static class NbdMagic
{
    /// <summary>NBDMAGIC, the ASCII text "NBDMAGIC": first bytes of every server.</summary>
    public const ulong Init = 0x4e42444d41474943;

    /// <summary>IHAVEOPT, the ASCII text "IHAVEOPT": newstyle greeting, and head of each option.</summary>
    public const ulong Option = 0x49484156454F5054;

    /// <summary>cliserv_magic: second word of an oldstyle server.</summary>
    public const ulong OldStyle = 0x00420281861253;

    /// <summary>Head of each reply to an option.</summary>
    public const ulong OptionReply = 0x3e889045565a9;

    /// <summary>NBD_REQUEST_MAGIC.</summary>
    public const uint Request = 0x25609513;

    /// <summary>NBD_SIMPLE_REPLY_MAGIC.</summary>
    public const uint SimpleReply = 0x67446698;

    /// <summary>NBD_STRUCTURED_REPLY_MAGIC.</summary>
    public const uint StructuredReply = 0x668e33ef;

    /// <summary>NBD_EXTENDED_REQUEST_MAGIC (extended headers).</summary>
    public const uint ExtendedRequest = 0x21e41c71;

    /// <summary>NBD_EXTENDED_REPLY_MAGIC (extended headers).</summary>
    public const uint ExtendedReply = 0x6e8a278c;
}
