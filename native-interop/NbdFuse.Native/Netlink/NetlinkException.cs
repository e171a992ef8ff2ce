namespace NbdFuse.Native.Netlink;

/// <summary>The kernel refused a netlink request.</summary>
/// <param name="error">The error number, negated or not.</param>
/// <param name="text">What the kernel says to it, or null.</param>
public sealed class NetlinkException(int error, string? text)
    : IOException(text is null ? NbdFuse.Native.Errno.Describe(error) : $"{NbdFuse.Native.Errno.Describe(error)}: {text}")
{
    /// <summary>The positive error number.</summary>
    public int Errno { get; } = Math.Abs(error);

    /// <summary>What the kernel says to it, or null.</summary>
    public string? Text { get; } = text;
}
