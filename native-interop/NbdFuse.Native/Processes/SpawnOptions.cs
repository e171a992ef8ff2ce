namespace NbdFuse.Native;

/// <summary>What to start, and with what.</summary>
public sealed record SpawnOptions
{
    /// <summary>Program and arguments; a program without a slash is looked up in PATH.</summary>
    public required string[] Argv { get; init; }

    /// <summary>Changes to this process's environment: <c>NAME=value</c> sets, <c>NAME</c> alone removes.</summary>
    public IReadOnlyList<string>? Environment { get; init; }

    /// <summary>
    /// Descriptors to pass: ours, and the number that the child sees. 0, 1 and 2 are inherited unless they are listed;
    /// every other descriptor is closed in the child.
    /// </summary>
    public (int ParentFd, int ChildFd)[] Descriptors { get; init; } = [];

    /// <summary>Whether the child gets its own session: no signals from our terminal.</summary>
    public bool NewSession { get; init; }

    /// <summary>
    /// Whether the child, with all threads that it will ever have, is marked PR_SET_IO_FLUSHER (prctl(2)): its allocations never
    /// wait for I/O that it serves itself. The mark is inherited, and a runtime has several threads before its Main. Without
    /// CAP_SYS_RESOURCE nothing happens.
    /// </summary>
    public bool IoFlusher { get; init; }
}
