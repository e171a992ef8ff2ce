namespace NbdFuse.Attach.KernelNbd;

/// <summary>How a device of the kernel's nbd driver is made.</summary>
public sealed record KernelNbdConnect
{
    /// <summary>What the driver is told about the export.</summary>
    public required KernelNbdGeometry Geometry { get; init; }

    /// <summary>Number of the device; null for a free one.</summary>
    public int? Index { get; init; }

    /// <summary>Seconds that a request may take before its connection is given up; 0 for ever.</summary>
    public int TimeoutSeconds { get; init; }

    /// <summary>Seconds that requests wait for a new connection before they fail; 0 not at all.</summary>
    public long DeadConnectionSeconds { get; init; }

    /// <summary>Name that tells our device from others, and that reconfiguring it must repeat.</summary>
    public required string Identifier { get; init; }
}
