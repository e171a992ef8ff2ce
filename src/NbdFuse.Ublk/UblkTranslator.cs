using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

/// <summary>What a description of the kernel's asks of a block device. Pure.</summary>
internal static class UblkTranslator
{
    private const uint OperationMask = 0xff;

    /// <summary>Translates and checks a description.</summary>
    /// <param name="description">A copy of the kernel's description.</param>
    /// <param name="limits">Limits of the device.</param>
    /// <param name="demand">What is asked.</param>
    /// <returns>0, or a positive errno with which the request has to be answered.</returns>
    internal static int Translate(in UblkIoDescriptor description, in UblkLimits limits, out UblkDemand demand)
    {
        UblkIoOperation operation = (UblkIoOperation)(description.OperationAndFlags & OperationMask);
        UblkIoFlags flags = (UblkIoFlags)(description.OperationAndFlags & ~OperationMask);
        if (operation == UblkIoOperation.Flush)
        {
            demand = new UblkDemand(BlockOperation.Flush, BlockRequestFlags.None, 0, 0);
            return 0;
        }

        demand = default;
        ulong size = (ulong)limits.Sectors;
        if (description.StartSector > size || description.Sectors > size - description.StartSector || description.Sectors == 0)
        {
            return Errno.EIO;
        }

        long offset = (long)description.StartSector * UblkConstants.SectorBytes;
        long length = (long)description.Sectors * UblkConstants.SectorBytes;
        BlockRequestFlags durable = (flags & UblkIoFlags.Fua) != 0 ? BlockRequestFlags.Fua : BlockRequestFlags.None;
        switch (operation)
        {
            case UblkIoOperation.Read:
                demand = new UblkDemand(BlockOperation.Read, BlockRequestFlags.None, offset, length);
                return length <= limits.PayloadBytes ? 0 : Errno.EIO;
            case UblkIoOperation.Write:
                demand = new UblkDemand(BlockOperation.Write, durable, offset, length);
                return limits.IsReadOnly || length > limits.PayloadBytes ? Errno.EIO : 0;
            case UblkIoOperation.Discard:
                // A discard may leave anything behind, so that TRIM will do; zeroes are the next best way to give space back.
                demand = new UblkDemand(
                    limits.DiscardIsTrim ? BlockOperation.Trim : BlockOperation.WriteZeroes, durable, offset, length);
                return limits.IsReadOnly ? Errno.EIO : 0;
            case UblkIoOperation.WriteZeroes:
                // Must read back as zeroes: never TRIM. NOUNMAP comes from those who reserve space (fallocate ZERO_RANGE).
                demand = new UblkDemand(
                    BlockOperation.WriteZeroes,
                    durable | ((flags & UblkIoFlags.NoUnmap) != 0 ? BlockRequestFlags.NoHole : BlockRequestFlags.None),
                    offset,
                    length);
                return limits.IsReadOnly ? Errno.EIO : 0;
            default:
                return Errno.EOPNOTSUPP;
        }
    }

    /// <summary>What the kernel is told about the end of a request.</summary>
    /// <param name="operation">What was asked.</param>
    /// <param name="length">Bytes of the range.</param>
    /// <param name="error">Linux errno, positive; 0 on success.</param>
    /// <returns>
    /// Bytes for READ and WRITE: always all of them, because the kernel asks again for the rest of a short one, and takes a READ
    /// of nothing for an error. 0 for others, or a negative errno.
    /// </returns>
    internal static int Result(BlockOperation operation, long length, int error) => error switch
    {
        0 => operation is BlockOperation.Read or BlockOperation.Write ? (int)length : 0,
        // The block layer has a meaning of its own for these: "again" and "no memory" are retried without end by some file systems.
        Errno.EAGAIN or Errno.EINTR or Errno.ENOMEM or Errno.EBUSY => -Errno.EIO,

        // Of data it would be taken for "this device can't do I/O".
        Errno.EOPNOTSUPP when operation is BlockOperation.Read or BlockOperation.Write or BlockOperation.Flush => -Errno.EIO,
        > 0 and < 4096 => -error,
        _ => -Errno.EIO,
    };
}
