using System.Numerics;

namespace NbdFuse.Protocol;

/// <summary>Block sizes of an export, in bytes (proto.md, "Size constraints"; NBD_INFO_BLOCK_SIZE).</summary>
/// <param name="Minimum">Offsets and lengths are multiples of it: a power of two, 1 to 65536.</param>
/// <param name="Preferred">Best granularity: a power of two, at least 512 and at least the minimum.</param>
/// <param name="Maximum">Longest payload; 0xffffffff is no limit. Need not be a multiple of the minimum.</param>
public readonly record struct NbdBlockSizes(uint Minimum, uint Preferred, uint Maximum)
{
    /// <summary>
    /// Validates what a server advertised. When the three break the rules they are to be ignored altogether: nothing
    /// in them can be relied on.
    /// </summary>
    /// <returns>False, with a default value, when the sizes are not valid.</returns>
    public static bool TryCreate(uint minimum, uint preferred, uint maximum, out NbdBlockSizes sizes)
    {
        bool valid = BitOperations.IsPow2(minimum)
            && minimum <= NbdLimits.MaxMinimumBlock
            && BitOperations.IsPow2(preferred)
            && preferred >= Math.Max(minimum, NbdLimits.MinPreferredBlock)
            && maximum >= preferred;
        sizes = valid ? new NbdBlockSizes(minimum, preferred, maximum) : default;
        return valid;
    }
}
