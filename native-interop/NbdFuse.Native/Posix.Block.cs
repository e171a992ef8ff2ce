using NbdFuse.Native.Block;

namespace NbdFuse.Native;

public static unsafe partial class Posix
{
    /// <summary>Adds, deletes or resizes a partition of a block device (BLKPG).</summary>
    /// <param name="fd">The whole device.</param>
    /// <param name="operation">One of the Partition constants of <see cref="BlockConstants"/>.</param>
    /// <param name="partition">The partition; deleting needs its number only.</param>
    /// <returns>0 or a negative errno.</returns>
    public static int Blkpg(int fd, int operation, BlkpgPartition partition)
    {
        // SAFETY: the partition is on this stack, and the kernel copies it within the call.
        BlkpgArgument argument = new()
        {
            Operation = operation,
            DataLength = sizeof(BlkpgPartition),
            Data = (nint)(&partition),
        };
        return Ioctl(fd, BlockConstants.Partition, ref argument);
    }
}
