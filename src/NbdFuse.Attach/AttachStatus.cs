namespace NbdFuse.Attach;

/// <summary>An attached device as status shows it.</summary>
public sealed record AttachStatus
{
    /// <summary>What its daemon wrote down.</summary>
    public required AttachState Attached { get; init; }

    /// <summary>online; recovering while requests wait for the server; failed when the server is lost; unsupervised when the kernel serves it alone; detaching; starting; stale when the daemon is gone; silent when it does not answer.</summary>
    public required string State { get; init; }

    /// <summary>Why it is not online; null otherwise.</summary>
    public string? Reason { get; init; }

    /// <summary>What the device promises, and what it cannot promise here; null when nobody could be asked.</summary>
    public IReadOnlyList<Guarantee>? Guarantees { get; init; }

    /// <summary>Methods that the daemon's runtime has compiled so far: must not grow while the device is used.</summary>
    public long CompiledMethods { get; init; }

    /// <summary>Requests in flight.</summary>
    public int InFlight { get; init; }

    /// <summary>Losses of the server, and the write log; null when nobody could be asked, or the kernel connects.</summary>
    public RecoveryStatus? Recovery { get; init; }

    /// <summary>Counters per kind of request; null when nobody could be asked.</summary>
    public IReadOnlyList<OperationStatus>? Operations { get; init; }

    /// <summary>What was asked in detail; null when nobody could be asked, or the kernel serves the device.</summary>
    public ActivityStatus? Activity { get; init; }
}
