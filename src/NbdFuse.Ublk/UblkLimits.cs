namespace NbdFuse.Ublk;

/// <summary>What a request of the kernel is checked against.</summary>
internal readonly record struct UblkLimits
{
    /// <summary>Size of the device in sectors of 512 bytes.</summary>
    public required long Sectors { get; init; }

    /// <summary>Longest payload in bytes: a buffer has room for it.</summary>
    public required int PayloadBytes { get; init; }

    /// <summary>Nothing is written.</summary>
    public required bool IsReadOnly { get; init; }

    /// <summary>DISCARD becomes TRIM; otherwise zeroes are written, where holes are allowed.</summary>
    public required bool DiscardIsTrim { get; init; }
}
