namespace NbdFuse.Cli;

/// <summary>What attach asks of the driver nbd alone.</summary>
internal sealed record NbdDriverOptions
{
    /// <summary>The longest time in seconds that is taken for a number, and for "for ever": ten years.</summary>
    public const int MaximumSeconds = 10 * 365 * 24 * 3600;

    /// <summary>Seconds that a request may take before its connection is given up; 0 for ever.</summary>
    public int TimeoutSeconds { get; init; }

    /// <summary>Seconds that requests wait for the server to come back; null for the default.</summary>
    public int? DeadTimeoutSeconds { get; init; }

    /// <summary>Nobody of ours stays.</summary>
    public bool NoSupervisor { get; init; }

    /// <summary>What the kernel is told: without somebody who brings a new connection waiting is in vain.</summary>
    public long DeadConnectionSeconds => DeadTimeoutSeconds ?? (NoSupervisor ? 0 : MaximumSeconds);

    /// <summary>How long to try to reconnect, in milliseconds; 0 for ever.</summary>
    public long PatienceMilliseconds => (DeadTimeoutSeconds ?? 0) * 1000L;
}
