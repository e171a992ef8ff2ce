namespace NbdFuse.Native.Block;

/// <summary>ioctl numbers of loop and other block devices (linux/loop.h, linux/fs.h, linux/blkpg.h).</summary>
public static class BlockConstants
{
    /// <summary>Make a loop device of a number (LOOP_CTL_ADD).</summary>
    public const uint LoopControlAdd = 0x4C80;

    /// <summary>Remove a loop device (LOOP_CTL_REMOVE).</summary>
    public const uint LoopControlRemove = 0x4C81;

    /// <summary>Find or make a free one (LOOP_CTL_GET_FREE).</summary>
    public const uint LoopControlGetFree = 0x4C82;

    /// <summary>Attach (LOOP_SET_FD).</summary>
    public const uint LoopSetFd = 0x4C00;

    /// <summary>Detach (LOOP_CLR_FD).</summary>
    public const uint LoopClearFd = 0x4C01;

    /// <summary>Change settings (LOOP_SET_STATUS64).</summary>
    public const uint LoopSetStatus64 = 0x4C04;

    /// <summary>Read settings (LOOP_GET_STATUS64).</summary>
    public const uint LoopGetStatus64 = 0x4C05;

    /// <summary>Exchange a read-only backing file (LOOP_CHANGE_FD).</summary>
    public const uint LoopChangeFd = 0x4C06;

    /// <summary>Take over a new size of the backing file (LOOP_SET_CAPACITY).</summary>
    public const uint LoopSetCapacity = 0x4C07;

    /// <summary>Switch direct I/O (LOOP_SET_DIRECT_IO).</summary>
    public const uint LoopSetDirectIo = 0x4C08;

    /// <summary>Set the logical block size (LOOP_SET_BLOCK_SIZE).</summary>
    public const uint LoopSetBlockSize = 0x4C09;

    /// <summary>Attach with all settings (LOOP_CONFIGURE).</summary>
    public const uint LoopConfigure = 0x4C0A;

    /// <summary>Add, delete, resize a partition (BLKPG).</summary>
    public const uint Partition = 0x1269;

    /// <summary>Size in bytes, 64 bits (BLKGETSIZE64).</summary>
    public const uint GetSize64 = 0x80081272;

    /// <summary>Logical block size, 32 bits (BLKSSZGET).</summary>
    public const uint GetLogicalBlockSize = 0x1268;

    /// <summary>Read the partition table (BLKRRPART).</summary>
    public const uint RereadPartitions = 0x125F;

    /// <summary>Write back and drop the device's cache (BLKFLSBUF).</summary>
    public const uint FlushBuffers = 0x1261;

    /// <summary>Set read only, 32 bits (BLKROSET).</summary>
    public const uint SetReadOnly = 0x125D;

    /// <summary>Discard a range, two 64-bit numbers (BLKDISCARD).</summary>
    public const uint Discard = 0x1277;

    /// <summary>BLKPG operation: add (BLKPG_ADD_PARTITION).</summary>
    public const int PartitionAdd = 1;

    /// <summary>BLKPG operation: delete (BLKPG_DEL_PARTITION).</summary>
    public const int PartitionDelete = 2;

    /// <summary>BLKPG operation: resize (BLKPG_RESIZE_PARTITION).</summary>
    public const int PartitionResize = 3;
}
