/* Structures of system calls and block devices. */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <linux/stat.h>
#include "abi-dump.h"

void dump_structures(void)
{
    STRUCT("ResourceLimit", struct rlimit);
    FIELD("ResourceLimit.Current", struct rlimit, rlim_cur);
    FIELD("ResourceLimit.Maximum", struct rlimit, rlim_max);

    STRUCT("LoopInfo", struct loop_info64);
    FIELD("LoopInfo.Device", struct loop_info64, lo_device);
    FIELD("LoopInfo.Inode", struct loop_info64, lo_inode);
    FIELD("LoopInfo.RDevice", struct loop_info64, lo_rdevice);
    FIELD("LoopInfo.Offset", struct loop_info64, lo_offset);
    FIELD("LoopInfo.SizeLimit", struct loop_info64, lo_sizelimit);
    FIELD("LoopInfo.Number", struct loop_info64, lo_number);
    FIELD("LoopInfo.EncryptType", struct loop_info64, lo_encrypt_type);
    FIELD("LoopInfo.EncryptKeySize", struct loop_info64, lo_encrypt_key_size);
    FIELD("LoopInfo.Flags", struct loop_info64, lo_flags);
    FIELD("LoopInfo.FileName", struct loop_info64, lo_file_name);
    FIELD("LoopInfo.CryptName", struct loop_info64, lo_crypt_name);
    FIELD("LoopInfo.EncryptKey", struct loop_info64, lo_encrypt_key);
    FIELD("LoopInfo.Init", struct loop_info64, lo_init);

    STRUCT("LoopConfig", struct loop_config);
    FIELD("LoopConfig.Fd", struct loop_config, fd);
    FIELD("LoopConfig.BlockSize", struct loop_config, block_size);
    FIELD("LoopConfig.Info", struct loop_config, info);
    FIELD("LoopConfig.Reserved", struct loop_config, __reserved);

    STRUCT("BlkpgArgument", struct blkpg_ioctl_arg);
    FIELD("BlkpgArgument.Operation", struct blkpg_ioctl_arg, op);
    FIELD("BlkpgArgument.Flags", struct blkpg_ioctl_arg, flags);
    FIELD("BlkpgArgument.DataLength", struct blkpg_ioctl_arg, datalen);
    FIELD("BlkpgArgument.Data", struct blkpg_ioctl_arg, data);

    STRUCT("BlkpgPartition", struct blkpg_partition);
    FIELD("BlkpgPartition.Start", struct blkpg_partition, start);
    FIELD("BlkpgPartition.Length", struct blkpg_partition, length);
    FIELD("BlkpgPartition.Number", struct blkpg_partition, pno);
    FIELD("BlkpgPartition.DeviceName", struct blkpg_partition, devname);
    FIELD("BlkpgPartition.VolumeName", struct blkpg_partition, volname);

    STRUCT("StatxBuffer", struct statx);
    FIELD("StatxBuffer.Mask", struct statx, stx_mask);
    FIELD("StatxBuffer.BlockSize", struct statx, stx_blksize);
    FIELD("StatxBuffer.Links", struct statx, stx_nlink);
    FIELD("StatxBuffer.Uid", struct statx, stx_uid);
    FIELD("StatxBuffer.Gid", struct statx, stx_gid);
    FIELD("StatxBuffer.Mode", struct statx, stx_mode);
    FIELD("StatxBuffer.Inode", struct statx, stx_ino);
    FIELD("StatxBuffer.Size", struct statx, stx_size);
    FIELD("StatxBuffer.Blocks", struct statx, stx_blocks);
    FIELD("StatxBuffer.ModifiedSeconds", struct statx, stx_mtime.tv_sec);
    FIELD("StatxBuffer.ModifiedNanoseconds", struct statx, stx_mtime.tv_nsec);
    FIELD("StatxBuffer.RDeviceMajor", struct statx, stx_rdev_major);
    FIELD("StatxBuffer.RDeviceMinor", struct statx, stx_rdev_minor);
    FIELD("StatxBuffer.DeviceMajor", struct statx, stx_dev_major);
    FIELD("StatxBuffer.DeviceMinor", struct statx, stx_dev_minor);

    STRUCT("IoVector", struct iovec);
    FIELD("IoVector.Base", struct iovec, iov_base);
    FIELD("IoVector.Length", struct iovec, iov_len);

    STRUCT("MessageHeader", struct msghdr);
    FIELD("MessageHeader.Name", struct msghdr, msg_name);
    FIELD("MessageHeader.NameLength", struct msghdr, msg_namelen);
    FIELD("MessageHeader.Vectors", struct msghdr, msg_iov);
    FIELD("MessageHeader.VectorCount", struct msghdr, msg_iovlen);
    FIELD("MessageHeader.Control", struct msghdr, msg_control);
    FIELD("MessageHeader.ControlLength", struct msghdr, msg_controllen);
    FIELD("MessageHeader.Flags", struct msghdr, msg_flags);

    STRUCT("PollDescriptor", struct pollfd);
    FIELD("PollDescriptor.Fd", struct pollfd, fd);
    FIELD("PollDescriptor.Events", struct pollfd, events);
    FIELD("PollDescriptor.Returned", struct pollfd, revents);

    STRUCT("EpollEvent", struct epoll_event);
    FIELD("EpollEvent.Data", struct epoll_event, data);
}
