namespace NbdFuse.Protocol;

/// <summary>
/// Error numbers on the wire (proto.md, "Error values"). They equal Linux's errno numbers; zero is success.
/// </summary>
public enum NbdError : uint
{
    /// <summary>Success.</summary>
    None = 0,

    /// <summary>NBD_EPERM: not permitted, as a write to a read-only export.</summary>
    Perm = 1,

    /// <summary>NBD_EIO: input/output error.</summary>
    Io = 5,

    /// <summary>NBD_ENOMEM: the server has no memory.</summary>
    NoMem = 12,

    /// <summary>NBD_EINVAL: invalid argument; also stands for every unknown number.</summary>
    Inval = 22,

    /// <summary>NBD_ENOSPC: no space left.</summary>
    NoSpc = 28,

    /// <summary>NBD_EOVERFLOW: the request is too large for the server.</summary>
    Overflow = 75,

    /// <summary>NBD_ENOTSUP: not supported, as a fast zero.</summary>
    NotSup = 95,

    /// <summary>NBD_ESHUTDOWN: the server is shutting down; disconnect softly.</summary>
    Shutdown = 108,
}
