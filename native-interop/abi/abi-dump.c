/*
 * Prints sizes, offsets and numbers of the kernel's and C library's headers, in the names of the managed types that
 * mirror them. A unit test compiles all files of this folder and compares every line. Lines:
 *   size TYPE BYTES        offset TYPE.FIELD BYTES        const TYPE.NAME VALUE        absent NAME
 * "absent": these headers are older than the thing; the test reports it.
 */
#include <linux/fuse.h>
#include "abi-dump.h"

int main(void)
{
    printf("fuse %d.%d\n", FUSE_KERNEL_VERSION, FUSE_KERNEL_MINOR_VERSION);
    dump_structures();
    dump_fuse_structures();
    dump_fuse_constants();
    dump_block_constants();
    dump_system_constants();
    dump_netlink();
    dump_ring_and_ublk();
    return 0;
}
