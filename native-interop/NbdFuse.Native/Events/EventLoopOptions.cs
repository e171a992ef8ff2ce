namespace NbdFuse.Native;

/// <summary>Settings of an <see cref="EventLoop"/>.</summary>
public sealed record EventLoopOptions
{
    /// <summary>
    /// Microseconds to poll after the last progress before sleeping, while a hook wants it; 0 never polls. Default 50:
    /// measured to double the rate at depth 1, and to cost throughput when polling is unconditional.
    /// </summary>
    public int SpinMicroseconds { get; init; } = 50;

    /// <summary>Stack of the loop's thread in bytes. Default 256 KiB: locked memory pays for every page.</summary>
    public int StackBytes { get; init; } = 256 * 1024;

    /// <summary>Most events taken per turn, 1 to 4096. Default 64.</summary>
    public int MaximumEvents { get; init; } = 64;
}
