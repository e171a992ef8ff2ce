namespace NbdFuse.Block;

/// <summary>Bounds of a <see cref="RequestQueue"/>.</summary>
public sealed record RequestQueueOptions
{
    /// <summary>Most requests in flight, 1 to 4096.</summary>
    public int Capacity { get; init; } = 256;

    /// <summary>Most payload bytes in flight. One request always fits.</summary>
    public long Bytes { get; init; } = 32L << 20;
}
