using System.Globalization;
using System.Numerics;
using NbdFuse.Protocol;

namespace NbdFuse.Attach.KernelNbd;

/// <summary>What the kernel's nbd driver is told about an export.</summary>
/// <remarks>
/// The driver sends what the block layer gives it: it never reads a block to change a part of it. So the export's minimum block
/// has to be the device's logical block, and its maximum has to bound the device's requests.
/// </remarks>
public sealed record KernelNbdGeometry
{
    // Linux 6.12 sets no more: requests of the driver end at 32 MiB (max_hw_sectors 65536).
    private const long DriverMaximum = 32L << 20;
    private const int SectorBytes = 512;

    // What the driver looks at (linux/nbd.h, as of 6.12).
    private const NbdTransmissionFlags Known = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.ReadOnly
        | NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.SendFua | NbdTransmissionFlags.Rotational
        | NbdTransmissionFlags.SendTrim | NbdTransmissionFlags.SendWriteZeroes | NbdTransmissionFlags.CanMultiConn;

    /// <summary>Size of the device in bytes: whole blocks.</summary>
    public required long Size { get; init; }

    /// <summary>Size of the export in bytes.</summary>
    public required long ExportSize { get; init; }

    /// <summary>Logical block size in bytes, a power of two from 512 to a page.</summary>
    public required int BlockSize { get; init; }

    /// <summary>Transmission flags that the driver knows.</summary>
    public required NbdTransmissionFlags Flags { get; init; }

    /// <summary>Longest request that the server takes, in KiB, when the driver would send longer ones; else null.</summary>
    public int? MaximumRequestKb { get; init; }

    /// <summary>Writes are refused.</summary>
    public bool IsReadOnly => (Flags & NbdTransmissionFlags.ReadOnly) != 0;

    /// <summary>Decides.</summary>
    /// <param name="export">What the server said.</param>
    /// <param name="blockSize">The logical block size in bytes that the user wants; 0 for the smallest possible.</param>
    /// <param name="readOnly">The user wants no changes.</param>
    /// <param name="pageSize">Bytes per page of this machine: the largest logical block of the driver.</param>
    /// <exception cref="AttachException">The driver cannot serve this export.</exception>
    public static KernelNbdGeometry Decide(NbdExportInfo export, int blockSize, bool readOnly, int pageSize)
    {
        const string Remedy = "the drivers ublk and fuse can: use --driver ublk or --driver fuse";
        int minimum = (int)Math.Max(SectorBytes, export.BlockSizes?.Minimum ?? SectorBytes);
        if (minimum > pageSize)
        {
            throw new AttachException(string.Create(
                CultureInfo.InvariantCulture,
                $"the server takes blocks of at least {minimum} bytes, and the kernel's nbd driver can make its blocks no larger than {pageSize}; {Remedy}"));
        }

        if (blockSize != 0 && (!BitOperations.IsPow2(blockSize) || blockSize < minimum || blockSize > pageSize))
        {
            throw new AttachException(string.Create(
                CultureInfo.InvariantCulture,
                $"a block size of {blockSize} is impossible for the kernel's nbd driver here: it is a power of two from {minimum} to {pageSize}"));
        }

        int block = Math.Max(blockSize, minimum);
        long size = (long)export.Size - ((long)export.Size % block);
        if (size == 0)
        {
            throw new AttachException(string.Create(
                CultureInfo.InvariantCulture, $"the export has {export.Size} bytes: there is not one block of {block} bytes in it"));
        }

        long maximum = export.BlockSizes?.Maximum ?? DriverMaximum;
        if (maximum < pageSize)
        {
            throw new AttachException(string.Create(
                CultureInfo.InvariantCulture,
                $"the server takes at most {maximum} bytes in a request, and the kernel's requests cannot be limited below {pageSize}; {Remedy}"));
        }

        return new KernelNbdGeometry
        {
            Size = size,
            ExportSize = (long)export.Size,
            BlockSize = block,
            Flags = FlagsOf(export, readOnly),

            // In whole pages, which the kernel rounds to anyway.
            MaximumRequestKb = maximum < DriverMaximum ? (int)(maximum / pageSize * pageSize / 1024) : null,
        };
    }

    /// <summary>
    /// Why an export cannot take the place of the one that the device was made of. One that has grown can.
    /// </summary>
    /// <param name="first">What was said when the device was made.</param>
    /// <param name="now">What is said now.</param>
    /// <returns>One clause for the user; null when it can.</returns>
    public static string? Mismatch(NbdExportInfo first, NbdExportInfo now)
    {
        if (now.Size < first.Size)
        {
            return string.Create(CultureInfo.InvariantCulture, $"the export has {now.Size} bytes now, and had {first.Size}");
        }

        NbdTransmissionFlags before = first.Flags & Known;
        NbdTransmissionFlags after = now.Flags & Known;
        if (before != after)
        {
            return $"the export's flags are {after} now, and were {before}";
        }

        return first.BlockSizes != now.BlockSizes
            ? $"the export's block sizes are {Describe(now.BlockSizes)} now, and were {Describe(first.BlockSizes)}"
            : null;
    }

    private static NbdTransmissionFlags FlagsOf(NbdExportInfo export, bool readOnly)
    {
        NbdTransmissionFlags flags = export.Flags & Known;
        return readOnly ? flags | NbdTransmissionFlags.ReadOnly : flags;
    }

    private static string Describe(NbdBlockSizes? sizes) => sizes is { } known
        ? string.Create(CultureInfo.InvariantCulture, $"{known.Minimum}/{known.Preferred}/{known.Maximum}")
        : "not told";
}
