namespace NbdFuse.Protocol;

/// <summary>
/// Client flags, the answer to <see cref="NbdHandshakeFlags"/> (proto.md, "Client flags").
/// A server must drop a client that sets any other bit.
/// </summary>
[Flags]
public enum NbdClientFlags : uint
{
    /// <summary>No flag.</summary>
    None = 0,

    /// <summary>NBD_FLAG_C_FIXED_NEWSTYLE: the client speaks fixed newstyle.</summary>
    FixedNewstyle = 1 << 0,

    /// <summary>NBD_FLAG_C_NO_ZEROES: leave out the 124 zeroes; only legal when the server offered it.</summary>
    NoZeroes = 1 << 1,
}
