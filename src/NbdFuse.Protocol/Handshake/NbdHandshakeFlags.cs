namespace NbdFuse.Protocol;

/// <summary>
/// Handshake flags, sent by the server in its greeting (proto.md, "Handshake flags"). Unknown bits are ignored.
/// </summary>
[Flags]
public enum NbdHandshakeFlags : ushort
{
    /// <summary>No flag: a server that only knows NBD_OPT_EXPORT_NAME.</summary>
    None = 0,

    /// <summary>NBD_FLAG_FIXED_NEWSTYLE: options get replies, so more than one may be sent.</summary>
    FixedNewstyle = 1 << 0,

    /// <summary>NBD_FLAG_NO_ZEROES: the server can leave out the 124 zeroes after NBD_OPT_EXPORT_NAME.</summary>
    NoZeroes = 1 << 1,
}
