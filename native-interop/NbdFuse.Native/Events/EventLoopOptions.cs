namespace NbdFuse.Native;

/// <summary>Settings of an <see cref="EventLoop"/>.</summary>
public sealed record EventLoopOptions
{
    /// <summary>
    /// Most microseconds to poll after the last progress before sleeping, while a hook wants it and as long as it is measured to
    /// shorten the waits (<see cref="SpinTrial"/>); 0 never polls. Default 50.
    /// </summary>
    public int SpinMicroseconds { get; init; } = 50;

    /// <summary>Stack of the loop's thread in bytes. Default 256 KiB: locked memory pays for every page.</summary>
    public int StackBytes { get; init; } = 256 * 1024;

    /// <summary>Most events taken per turn, 1 to 4096. Default 64.</summary>
    public int MaximumEvents { get; init; } = 64;
}
