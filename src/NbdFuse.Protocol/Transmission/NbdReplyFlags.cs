namespace NbdFuse.Protocol;

/// <summary>
/// Flags of a structured reply chunk (proto.md, "Structured reply flags"). Unknown bits are ignored.
/// </summary>
[Flags]
public enum NbdReplyFlags : ushort
{
    /// <summary>More chunks follow.</summary>
    None = 0,

    /// <summary>NBD_REPLY_FLAG_DONE: the last chunk of the reply.</summary>
    Done = 1 << 0,
}
