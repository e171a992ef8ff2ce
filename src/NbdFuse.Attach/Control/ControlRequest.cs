namespace NbdFuse.Attach.Control;

/// <summary>A line that a client sends to a daemon.</summary>
public sealed record ControlRequest
{
    /// <summary>Name of the request for <see cref="AttachStatus"/>.</summary>
    public const string Status = "status";

    /// <summary>Name of the request to detach; the connection ends with the daemon.</summary>
    public const string Detach = "detach";

    /// <summary>Name of the request to have another process serve the device, of the program that is installed now.</summary>
    public const string Upgrade = "upgrade";

    /// <summary>Version of the protocol.</summary>
    public int Version { get; init; } = 1;

    /// <summary>What is asked: one of the constants.</summary>
    public string Request { get; init => field = value ?? string.Empty; } = string.Empty;

    /// <summary>With <see cref="Detach"/>: fail what is in flight, and do it although the device is in use.</summary>
    public bool Force { get; init; }
}
