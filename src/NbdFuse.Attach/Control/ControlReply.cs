namespace NbdFuse.Attach.Control;

/// <summary>A line that a daemon answers with.</summary>
public sealed record ControlReply
{
    /// <summary>Version of the protocol.</summary>
    public int Version { get; init; } = 1;

    /// <summary>Whether it was done.</summary>
    public bool Ok { get; init; }

    /// <summary>Why it was not, or a warning; one line for the user.</summary>
    public string? Message { get; init; }

    /// <summary>It was done, but what was written last may be lost; the message says why.</summary>
    public bool Lost { get; init; }

    /// <summary>The answer to <see cref="ControlRequest.Status"/>.</summary>
    public AttachStatus? Status { get; init; }
}
