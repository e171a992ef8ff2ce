namespace NbdFuse.Block;

/// <summary>What a block device is and can do. Immutable.</summary>
public sealed record BlockDeviceInfo
{
    /// <summary>Largest piece of a WRITE_ZEROES or TRIM, in bytes: 128 MiB, so that one request can't take for ever.</summary>
    public const long DefaultMaximumZeroes = 128L << 20;

    /// <summary>Usable size in bytes: what can be read and written. 0 or more.</summary>
    public required long Size { get; init; }

    /// <summary>
    /// Size that the export claims, in bytes. Larger than <see cref="Size"/> when an advertised minimum block makes
    /// its tail unreachable.
    /// </summary>
    public long ExportSize { get => field == 0 ? Size : field; init; }

    /// <summary>
    /// Offsets and lengths must be multiples of this, in bytes; a power of two, 1 to 65536. The last block of a
    /// device may be shorter when <see cref="Size"/> is no multiple of it.
    /// </summary>
    public int MinimumBlock { get; init; } = 1;

    /// <summary>Offsets and lengths should be multiples of this, in bytes; a power of two.</summary>
    public int PreferredBlock { get; init; } = 4096;

    /// <summary>Largest READ or WRITE in bytes; a multiple of <see cref="MinimumBlock"/>.</summary>
    public int MaximumPayload { get; init; } = 32 << 20;

    /// <summary>
    /// Largest TRIM in bytes, a multiple of <see cref="MinimumBlock"/>: <see cref="MaximumZeroes"/>, unless the device takes more.
    /// </summary>
    public long MaximumTrim { get => field == 0 ? MaximumZeroes : field; init; }

    /// <summary>Largest TRIM, WRITE_ZEROES or CACHE in bytes; a multiple of <see cref="MinimumBlock"/>.</summary>
    public long MaximumZeroes { get; init; } = DefaultMaximumZeroes;

    /// <summary>Writes of every kind fail.</summary>
    public bool IsReadOnly { get; init; }

    /// <summary>FLUSH is understood.</summary>
    public bool CanFlush { get; init; }

    /// <summary><see cref="BlockRequestFlags.Fua"/> is understood.</summary>
    public bool CanFua { get; init; }

    /// <summary>TRIM is understood.</summary>
    public bool CanTrim { get; init; }

    /// <summary>WRITE_ZEROES is understood.</summary>
    public bool CanWriteZeroes { get; init; }

    /// <summary><see cref="BlockRequestFlags.FastZero"/> is understood.</summary>
    public bool CanFastZero { get; init; }

    /// <summary>CACHE is understood.</summary>
    public bool CanCache { get; init; }

    /// <summary>BLOCK_STATUS is understood.</summary>
    public bool CanBlockStatus { get; init; }

    /// <summary>Seeks cost: the medium is rotational.</summary>
    public bool IsRotational { get; init; }

    /// <summary>The same, with another one's size.</summary>
    /// <param name="other">Whose size.</param>
    public BlockDeviceInfo WithSizeOf(BlockDeviceInfo other) => this with { Size = other.Size, ExportSize = other.ExportSize };
}
