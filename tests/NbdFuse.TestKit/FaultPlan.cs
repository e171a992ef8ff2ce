namespace NbdFuse.TestKit;

/// <summary>What a <see cref="FaultProxy"/> does to the bytes of one direction of one connection.</summary>
public sealed record FaultPlan
{
    /// <summary>Pass everything on.</summary>
    public static readonly FaultPlan None = new();

    /// <summary>Break the connection, both directions, when this many bytes have passed.</summary>
    public long? DropAfter { get; init; }

    /// <summary>Pass no more when this many bytes have passed, until <see cref="FaultProxy.Release"/>.</summary>
    public long? StallAfter { get; init; }

    /// <summary>Send pieces of this size, each on its own; 0 as they come.</summary>
    public int PieceSize { get; init; }

    /// <summary>Change the byte with this index.</summary>
    public long? CorruptAt { get; init; }

    /// <summary>Bits to flip in it.</summary>
    public byte CorruptMask { get; init; } = 0xff;

    /// <summary>Break by a reset (TCP) rather than by an orderly close.</summary>
    public bool Reset { get; init; }
}
