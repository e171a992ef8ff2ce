using NbdFuse.Block;
using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <summary>Translates what a server says of its export into what a block device is (NBD spec, "Size constraints").</summary>
internal static class ExportGeometry
{
    /// <summary>
    /// Longest TRIM with extended headers, in bytes: whole blocks of every legal size. What is trimmed at once is a matter of the
    /// server's metadata; zeroes may have to be written, and keep to pieces.
    /// </summary>
    public const long LongestTrim = long.MaxValue - ((1 << 16) - 1);

    /// <summary>Makes the description of the device.</summary>
    /// <param name="export">What the server said.</param>
    /// <param name="readOnly">The user wants no changes.</param>
    /// <returns>
    /// The description. With advertised sizes the minimum block is obeyed and a tail that is no whole block can't be
    /// reached; without, requests keep to 512 bytes and the last block may be shorter.
    /// </returns>
    public static BlockDeviceInfo Describe(NbdExportInfo export, bool readOnly)
    {
        long exportSize = (long)export.Size;
        int minimum = (int)NbdLimits.DefaultGranularity;
        int preferred = (int)NbdLimits.DefaultPreferredBlock;
        long maximum = NbdLimits.MaxPayloadBytes;
        long size = exportSize;
        if (export.BlockSizes is NbdBlockSizes sizes)
        {
            minimum = (int)sizes.Minimum;
            preferred = (int)Math.Min(sizes.Preferred, 1u << 30);
            maximum = Math.Min(maximum, sizes.Maximum);
            size -= size % minimum;
        }

        return new BlockDeviceInfo
        {
            Size = size,
            ExportSize = exportSize,
            MinimumBlock = minimum,
            PreferredBlock = preferred,
            MaximumPayload = (int)(maximum - (maximum % minimum)),
            IsReadOnly = readOnly || export.IsReadOnly,
            CanFlush = export.CanFlush,
            CanFua = export.CanFua,
            CanTrim = export.CanTrim,
            CanWriteZeroes = export.CanWriteZeroes,
            CanFastZero = export.CanFastZero && export.CanWriteZeroes,
            CanCache = export.CanCache,
            IsRotational = export.IsRotational,
        };
    }
}
