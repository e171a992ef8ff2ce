namespace NbdFuse.Block;

/// <summary>Modifiers of a <see cref="BlockRequest"/>.</summary>
[Flags]
public enum BlockRequestFlags : byte
{
    /// <summary>No modifier.</summary>
    None = 0,

    /// <summary>Force unit access: completed only when the data is durable. Write, Trim, WriteZeroes.</summary>
    Fua = 1,

    /// <summary>WriteZeroes must leave the range allocated (fallocate ZERO_RANGE).</summary>
    NoHole = 2,

    /// <summary>WriteZeroes should be tried the fast way first; the slow way follows by itself.</summary>
    FastZero = 4,
}
