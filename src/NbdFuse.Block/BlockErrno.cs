namespace NbdFuse.Block;

/// <summary>
/// The Linux errno values (asm-generic/errno-base.h, errno.h) that devices and layers complete requests with, equal on
/// every architecture that Linux and .NET share.
/// </summary>
public static class BlockErrno
{
    /// <summary>Operation not permitted.</summary>
    public const int EPERM = 1;

    /// <summary>Interrupted.</summary>
    public const int EINTR = 4;

    /// <summary>Input/output error.</summary>
    public const int EIO = 5;

    /// <summary>Out of memory.</summary>
    public const int ENOMEM = 12;

    /// <summary>Invalid argument.</summary>
    public const int EINVAL = 22;

    /// <summary>No space left: also what a block device says to a write at or past its end.</summary>
    public const int ENOSPC = 28;

    /// <summary>Read-only device.</summary>
    public const int EROFS = 30;

    /// <summary>Value too large: the request was longer than the server takes.</summary>
    public const int EOVERFLOW = 75;

    /// <summary>Not supported.</summary>
    public const int EOPNOTSUPP = 95;

    /// <summary>The server is shutting down.</summary>
    public const int ESHUTDOWN = 108;
}
