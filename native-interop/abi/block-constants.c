/* Requests of block devices. Apart from sys/mount.h, which older C libraries cannot combine with linux/fs.h. */
#define _GNU_SOURCE
#include <sys/ioctl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include "abi-dump.h"

void dump_block_constants(void)
{
    CONST("BlockConstants.LoopControlAdd", LOOP_CTL_ADD);
    CONST("BlockConstants.LoopControlRemove", LOOP_CTL_REMOVE);
    CONST("BlockConstants.LoopControlGetFree", LOOP_CTL_GET_FREE);
    CONST("BlockConstants.LoopSetFd", LOOP_SET_FD);
    CONST("BlockConstants.LoopClearFd", LOOP_CLR_FD);
    CONST("BlockConstants.LoopSetStatus64", LOOP_SET_STATUS64);
    CONST("BlockConstants.LoopGetStatus64", LOOP_GET_STATUS64);
    CONST("BlockConstants.LoopChangeFd", LOOP_CHANGE_FD);
    CONST("BlockConstants.LoopSetCapacity", LOOP_SET_CAPACITY);
    CONST("BlockConstants.LoopSetDirectIo", LOOP_SET_DIRECT_IO);
    CONST("BlockConstants.LoopSetBlockSize", LOOP_SET_BLOCK_SIZE);
    CONST("BlockConstants.LoopConfigure", LOOP_CONFIGURE);
    CONST("BlockConstants.Partition", BLKPG);
    CONST("BlockConstants.GetSize64", BLKGETSIZE64);
    CONST("BlockConstants.GetLogicalBlockSize", BLKSSZGET);
    CONST("BlockConstants.RereadPartitions", BLKRRPART);
    CONST("BlockConstants.FlushBuffers", BLKFLSBUF);
    CONST("BlockConstants.SetReadOnly", BLKROSET);
    CONST("BlockConstants.Discard", BLKDISCARD);
    CONST("BlockConstants.PartitionAdd", BLKPG_ADD_PARTITION);
    CONST("BlockConstants.PartitionDelete", BLKPG_DEL_PARTITION);
    CONST("BlockConstants.PartitionResize", BLKPG_RESIZE_PARTITION);
    CONST("LoopFlags.ReadOnly", LO_FLAGS_READ_ONLY);
    CONST("LoopFlags.AutoClear", LO_FLAGS_AUTOCLEAR);
    CONST("LoopFlags.PartitionScan", LO_FLAGS_PARTSCAN);
    CONST("LoopFlags.DirectIo", LO_FLAGS_DIRECT_IO);
}
