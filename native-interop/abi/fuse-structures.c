/* The FUSE protocol's structures. */
#define _GNU_SOURCE
#include <linux/fuse.h>
#include "abi-dump.h"

void dump_fuse_structures(void)
{
    STRUCT("FuseInHeader", struct fuse_in_header);
    FIELD("FuseInHeader.Length", struct fuse_in_header, len);
    FIELD("FuseInHeader.Opcode", struct fuse_in_header, opcode);
    FIELD("FuseInHeader.Unique", struct fuse_in_header, unique);
    FIELD("FuseInHeader.NodeId", struct fuse_in_header, nodeid);
    FIELD("FuseInHeader.Uid", struct fuse_in_header, uid);
    FIELD("FuseInHeader.Gid", struct fuse_in_header, gid);
    FIELD("FuseInHeader.Pid", struct fuse_in_header, pid);
#if FUSE_KERNEL_MINOR_VERSION >= 38
    FIELD("FuseInHeader.TotalExtensionLength", struct fuse_in_header, total_extlen);
    FIELD("FuseInHeader.Padding", struct fuse_in_header, padding);
#else
    ABSENT("FuseInHeader.TotalExtensionLength");
    ABSENT("FuseInHeader.Padding");
#endif

    STRUCT("FuseOutHeader", struct fuse_out_header);
    FIELD("FuseOutHeader.Length", struct fuse_out_header, len);
    FIELD("FuseOutHeader.Error", struct fuse_out_header, error);
    FIELD("FuseOutHeader.Unique", struct fuse_out_header, unique);

    STRUCT("FuseInitIn", struct fuse_init_in);
    FIELD("FuseInitIn.Major", struct fuse_init_in, major);
    FIELD("FuseInitIn.Minor", struct fuse_init_in, minor);
    FIELD("FuseInitIn.MaxReadahead", struct fuse_init_in, max_readahead);
    FIELD("FuseInitIn.Flags", struct fuse_init_in, flags);
#if FUSE_KERNEL_MINOR_VERSION >= 36
    FIELD("FuseInitIn.Flags2", struct fuse_init_in, flags2);
    FIELD("FuseInitIn.Unused", struct fuse_init_in, unused);
#else
    ABSENT("FuseInitIn.Flags2");
    ABSENT("FuseInitIn.Unused");
#endif

    STRUCT("FuseInitOut", struct fuse_init_out);
    FIELD("FuseInitOut.Major", struct fuse_init_out, major);
    FIELD("FuseInitOut.Minor", struct fuse_init_out, minor);
    FIELD("FuseInitOut.MaxReadahead", struct fuse_init_out, max_readahead);
    FIELD("FuseInitOut.Flags", struct fuse_init_out, flags);
    FIELD("FuseInitOut.MaxBackground", struct fuse_init_out, max_background);
    FIELD("FuseInitOut.CongestionThreshold", struct fuse_init_out, congestion_threshold);
    FIELD("FuseInitOut.MaxWrite", struct fuse_init_out, max_write);
    FIELD("FuseInitOut.TimeGranularity", struct fuse_init_out, time_gran);
    FIELD("FuseInitOut.MaxPages", struct fuse_init_out, max_pages);
    FIELD("FuseInitOut.MapAlignment", struct fuse_init_out, map_alignment);
#if FUSE_KERNEL_MINOR_VERSION >= 36
    FIELD("FuseInitOut.Flags2", struct fuse_init_out, flags2);
#else
    ABSENT("FuseInitOut.Flags2");
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 40
    FIELD("FuseInitOut.MaxStackDepth", struct fuse_init_out, max_stack_depth);
#else
    ABSENT("FuseInitOut.MaxStackDepth");
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 43
    FIELD("FuseInitOut.RequestTimeout", struct fuse_init_out, request_timeout);
    FIELD("FuseInitOut.Unused", struct fuse_init_out, unused);
#else
    ABSENT("FuseInitOut.RequestTimeout");
    ABSENT("FuseInitOut.Unused");
#endif

    STRUCT("FuseAttr", struct fuse_attr);
    FIELD("FuseAttr.Inode", struct fuse_attr, ino);
    FIELD("FuseAttr.Size", struct fuse_attr, size);
    FIELD("FuseAttr.Blocks", struct fuse_attr, blocks);
    FIELD("FuseAttr.AccessTime", struct fuse_attr, atime);
    FIELD("FuseAttr.ModifyTime", struct fuse_attr, mtime);
    FIELD("FuseAttr.ChangeTime", struct fuse_attr, ctime);
    FIELD("FuseAttr.AccessTimeNs", struct fuse_attr, atimensec);
    FIELD("FuseAttr.ModifyTimeNs", struct fuse_attr, mtimensec);
    FIELD("FuseAttr.ChangeTimeNs", struct fuse_attr, ctimensec);
    FIELD("FuseAttr.Mode", struct fuse_attr, mode);
    FIELD("FuseAttr.Links", struct fuse_attr, nlink);
    FIELD("FuseAttr.Uid", struct fuse_attr, uid);
    FIELD("FuseAttr.Gid", struct fuse_attr, gid);
    FIELD("FuseAttr.RDevice", struct fuse_attr, rdev);
    FIELD("FuseAttr.BlockSize", struct fuse_attr, blksize);
#if FUSE_KERNEL_MINOR_VERSION >= 32
    FIELD("FuseAttr.Flags", struct fuse_attr, flags);
#else
    ABSENT("FuseAttr.Flags");
#endif

    STRUCT("FuseEntryOut", struct fuse_entry_out);
    FIELD("FuseEntryOut.NodeId", struct fuse_entry_out, nodeid);
    FIELD("FuseEntryOut.Generation", struct fuse_entry_out, generation);
    FIELD("FuseEntryOut.EntryValid", struct fuse_entry_out, entry_valid);
    FIELD("FuseEntryOut.AttrValid", struct fuse_entry_out, attr_valid);
    FIELD("FuseEntryOut.EntryValidNs", struct fuse_entry_out, entry_valid_nsec);
    FIELD("FuseEntryOut.AttrValidNs", struct fuse_entry_out, attr_valid_nsec);
    FIELD("FuseEntryOut.Attr", struct fuse_entry_out, attr);

    STRUCT("FuseAttrOut", struct fuse_attr_out);
    FIELD("FuseAttrOut.AttrValid", struct fuse_attr_out, attr_valid);
    FIELD("FuseAttrOut.AttrValidNs", struct fuse_attr_out, attr_valid_nsec);
    FIELD("FuseAttrOut.Dummy", struct fuse_attr_out, dummy);
    FIELD("FuseAttrOut.Attr", struct fuse_attr_out, attr);

    STRUCT("FuseGetattrIn", struct fuse_getattr_in);
    FIELD("FuseGetattrIn.Flags", struct fuse_getattr_in, getattr_flags);
    FIELD("FuseGetattrIn.Dummy", struct fuse_getattr_in, dummy);
    FIELD("FuseGetattrIn.Handle", struct fuse_getattr_in, fh);

    STRUCT("FuseSetattrIn", struct fuse_setattr_in);
    FIELD("FuseSetattrIn.Valid", struct fuse_setattr_in, valid);
    FIELD("FuseSetattrIn.Padding", struct fuse_setattr_in, padding);
    FIELD("FuseSetattrIn.Handle", struct fuse_setattr_in, fh);
    FIELD("FuseSetattrIn.Size", struct fuse_setattr_in, size);
    FIELD("FuseSetattrIn.LockOwner", struct fuse_setattr_in, lock_owner);
    FIELD("FuseSetattrIn.AccessTime", struct fuse_setattr_in, atime);
    FIELD("FuseSetattrIn.ModifyTime", struct fuse_setattr_in, mtime);
    FIELD("FuseSetattrIn.ChangeTime", struct fuse_setattr_in, ctime);
    FIELD("FuseSetattrIn.AccessTimeNs", struct fuse_setattr_in, atimensec);
    FIELD("FuseSetattrIn.ModifyTimeNs", struct fuse_setattr_in, mtimensec);
    FIELD("FuseSetattrIn.ChangeTimeNs", struct fuse_setattr_in, ctimensec);
    FIELD("FuseSetattrIn.Mode", struct fuse_setattr_in, mode);
    FIELD("FuseSetattrIn.Unused4", struct fuse_setattr_in, unused4);
    FIELD("FuseSetattrIn.Uid", struct fuse_setattr_in, uid);
    FIELD("FuseSetattrIn.Gid", struct fuse_setattr_in, gid);
    FIELD("FuseSetattrIn.Unused5", struct fuse_setattr_in, unused5);

    STRUCT("FuseOpenIn", struct fuse_open_in);
    FIELD("FuseOpenIn.Flags", struct fuse_open_in, flags);
#if FUSE_KERNEL_MINOR_VERSION >= 33
    FIELD("FuseOpenIn.OpenFlags", struct fuse_open_in, open_flags);
#else
    ABSENT("FuseOpenIn.OpenFlags");
#endif

    STRUCT("FuseOpenOut", struct fuse_open_out);
    FIELD("FuseOpenOut.Handle", struct fuse_open_out, fh);
    FIELD("FuseOpenOut.OpenFlags", struct fuse_open_out, open_flags);
#if FUSE_KERNEL_MINOR_VERSION >= 40
    FIELD("FuseOpenOut.BackingId", struct fuse_open_out, backing_id);
#else
    ABSENT("FuseOpenOut.BackingId");
#endif

    STRUCT("FuseReleaseIn", struct fuse_release_in);
    FIELD("FuseReleaseIn.Handle", struct fuse_release_in, fh);
    FIELD("FuseReleaseIn.Flags", struct fuse_release_in, flags);
    FIELD("FuseReleaseIn.ReleaseFlags", struct fuse_release_in, release_flags);
    FIELD("FuseReleaseIn.LockOwner", struct fuse_release_in, lock_owner);

    STRUCT("FuseFlushIn", struct fuse_flush_in);
    FIELD("FuseFlushIn.Handle", struct fuse_flush_in, fh);
    FIELD("FuseFlushIn.Unused", struct fuse_flush_in, unused);
    FIELD("FuseFlushIn.Padding", struct fuse_flush_in, padding);
    FIELD("FuseFlushIn.LockOwner", struct fuse_flush_in, lock_owner);

    STRUCT("FuseReadIn", struct fuse_read_in);
    FIELD("FuseReadIn.Handle", struct fuse_read_in, fh);
    FIELD("FuseReadIn.Offset", struct fuse_read_in, offset);
    FIELD("FuseReadIn.Size", struct fuse_read_in, size);
    FIELD("FuseReadIn.ReadFlags", struct fuse_read_in, read_flags);
    FIELD("FuseReadIn.LockOwner", struct fuse_read_in, lock_owner);
    FIELD("FuseReadIn.Flags", struct fuse_read_in, flags);
    FIELD("FuseReadIn.Padding", struct fuse_read_in, padding);

    STRUCT("FuseWriteIn", struct fuse_write_in);
    FIELD("FuseWriteIn.Handle", struct fuse_write_in, fh);
    FIELD("FuseWriteIn.Offset", struct fuse_write_in, offset);
    FIELD("FuseWriteIn.Size", struct fuse_write_in, size);
    FIELD("FuseWriteIn.WriteFlags", struct fuse_write_in, write_flags);
    FIELD("FuseWriteIn.LockOwner", struct fuse_write_in, lock_owner);
    FIELD("FuseWriteIn.Flags", struct fuse_write_in, flags);
    FIELD("FuseWriteIn.Padding", struct fuse_write_in, padding);

    STRUCT("FuseWriteOut", struct fuse_write_out);
    FIELD("FuseWriteOut.Size", struct fuse_write_out, size);
    FIELD("FuseWriteOut.Padding", struct fuse_write_out, padding);

    STRUCT("FuseFsyncIn", struct fuse_fsync_in);
    FIELD("FuseFsyncIn.Handle", struct fuse_fsync_in, fh);
    FIELD("FuseFsyncIn.FsyncFlags", struct fuse_fsync_in, fsync_flags);
    FIELD("FuseFsyncIn.Padding", struct fuse_fsync_in, padding);

    STRUCT("FuseFallocateIn", struct fuse_fallocate_in);
    FIELD("FuseFallocateIn.Handle", struct fuse_fallocate_in, fh);
    FIELD("FuseFallocateIn.Offset", struct fuse_fallocate_in, offset);
    FIELD("FuseFallocateIn.Length", struct fuse_fallocate_in, length);
    FIELD("FuseFallocateIn.Mode", struct fuse_fallocate_in, mode);
    FIELD("FuseFallocateIn.Padding", struct fuse_fallocate_in, padding);

    STRUCT("FuseLseekIn", struct fuse_lseek_in);
    FIELD("FuseLseekIn.Handle", struct fuse_lseek_in, fh);
    FIELD("FuseLseekIn.Offset", struct fuse_lseek_in, offset);
    FIELD("FuseLseekIn.Whence", struct fuse_lseek_in, whence);
    FIELD("FuseLseekIn.Padding", struct fuse_lseek_in, padding);

    STRUCT("FuseLseekOut", struct fuse_lseek_out);
    FIELD("FuseLseekOut.Offset", struct fuse_lseek_out, offset);

    STRUCT("FuseKstatfs", struct fuse_kstatfs);
    FIELD("FuseKstatfs.Blocks", struct fuse_kstatfs, blocks);
    FIELD("FuseKstatfs.BlocksFree", struct fuse_kstatfs, bfree);
    FIELD("FuseKstatfs.BlocksAvailable", struct fuse_kstatfs, bavail);
    FIELD("FuseKstatfs.Files", struct fuse_kstatfs, files);
    FIELD("FuseKstatfs.FilesFree", struct fuse_kstatfs, ffree);
    FIELD("FuseKstatfs.BlockSize", struct fuse_kstatfs, bsize);
    FIELD("FuseKstatfs.NameLength", struct fuse_kstatfs, namelen);
    FIELD("FuseKstatfs.FragmentSize", struct fuse_kstatfs, frsize);
    FIELD("FuseKstatfs.Padding", struct fuse_kstatfs, padding);
    FIELD("FuseKstatfs.Spare", struct fuse_kstatfs, spare);

    STRUCT("FuseStatfsOut", struct fuse_statfs_out);
    FIELD("FuseStatfsOut.Stat", struct fuse_statfs_out, st);

    STRUCT("FuseInterruptIn", struct fuse_interrupt_in);
    FIELD("FuseInterruptIn.Unique", struct fuse_interrupt_in, unique);

    STRUCT("FuseForgetIn", struct fuse_forget_in);
    FIELD("FuseForgetIn.Lookups", struct fuse_forget_in, nlookup);

    STRUCT("FuseBatchForgetIn", struct fuse_batch_forget_in);
    FIELD("FuseBatchForgetIn.Count", struct fuse_batch_forget_in, count);
    FIELD("FuseBatchForgetIn.Dummy", struct fuse_batch_forget_in, dummy);

    STRUCT("FuseForgetOne", struct fuse_forget_one);
    FIELD("FuseForgetOne.NodeId", struct fuse_forget_one, nodeid);
    FIELD("FuseForgetOne.Lookups", struct fuse_forget_one, nlookup);

    STRUCT("FuseAccessIn", struct fuse_access_in);
    FIELD("FuseAccessIn.Mask", struct fuse_access_in, mask);
    FIELD("FuseAccessIn.Padding", struct fuse_access_in, padding);

#if FUSE_KERNEL_MINOR_VERSION >= 34
    STRUCT("FuseSyncfsIn", struct fuse_syncfs_in);
    FIELD("FuseSyncfsIn.Padding", struct fuse_syncfs_in, padding);
#else
    ABSENT("FuseSyncfsIn");
#endif

    STRUCT("FuseGetxattrIn", struct fuse_getxattr_in);
    FIELD("FuseGetxattrIn.Size", struct fuse_getxattr_in, size);
    FIELD("FuseGetxattrIn.Padding", struct fuse_getxattr_in, padding);

    STRUCT("FuseIoctlIn", struct fuse_ioctl_in);
    FIELD("FuseIoctlIn.Handle", struct fuse_ioctl_in, fh);
    FIELD("FuseIoctlIn.Flags", struct fuse_ioctl_in, flags);
    FIELD("FuseIoctlIn.Command", struct fuse_ioctl_in, cmd);
    FIELD("FuseIoctlIn.Argument", struct fuse_ioctl_in, arg);
    FIELD("FuseIoctlIn.InSize", struct fuse_ioctl_in, in_size);
    FIELD("FuseIoctlIn.OutSize", struct fuse_ioctl_in, out_size);

    STRUCT("FuseIoctlOut", struct fuse_ioctl_out);
    FIELD("FuseIoctlOut.Result", struct fuse_ioctl_out, result);
    FIELD("FuseIoctlOut.Flags", struct fuse_ioctl_out, flags);
    FIELD("FuseIoctlOut.InVectors", struct fuse_ioctl_out, in_iovs);
    FIELD("FuseIoctlOut.OutVectors", struct fuse_ioctl_out, out_iovs);

    STRUCT("FusePollIn", struct fuse_poll_in);
    FIELD("FusePollIn.Handle", struct fuse_poll_in, fh);
    FIELD("FusePollIn.PollHandle", struct fuse_poll_in, kh);
    FIELD("FusePollIn.Flags", struct fuse_poll_in, flags);
    FIELD("FusePollIn.Events", struct fuse_poll_in, events);

    STRUCT("FusePollOut", struct fuse_poll_out);
    FIELD("FusePollOut.Events", struct fuse_poll_out, revents);
    FIELD("FusePollOut.Padding", struct fuse_poll_out, padding);

    STRUCT("FuseDirent", struct fuse_dirent);
    FIELD("FuseDirent.Inode", struct fuse_dirent, ino);
    FIELD("FuseDirent.Offset", struct fuse_dirent, off);
    FIELD("FuseDirent.NameLength", struct fuse_dirent, namelen);
    FIELD("FuseDirent.Type", struct fuse_dirent, type);

#if FUSE_KERNEL_MINOR_VERSION >= 39
    STRUCT("FuseSxTime", struct fuse_sx_time);
    FIELD("FuseSxTime.Seconds", struct fuse_sx_time, tv_sec);
    FIELD("FuseSxTime.Nanoseconds", struct fuse_sx_time, tv_nsec);
    FIELD("FuseSxTime.Reserved", struct fuse_sx_time, __reserved);
#else
    ABSENT("FuseSxTime");
#endif

#if FUSE_KERNEL_MINOR_VERSION >= 39
    STRUCT("FuseStatx", struct fuse_statx);
    FIELD("FuseStatx.Mask", struct fuse_statx, mask);
    FIELD("FuseStatx.BlockSize", struct fuse_statx, blksize);
    FIELD("FuseStatx.Attributes", struct fuse_statx, attributes);
    FIELD("FuseStatx.Links", struct fuse_statx, nlink);
    FIELD("FuseStatx.Uid", struct fuse_statx, uid);
    FIELD("FuseStatx.Gid", struct fuse_statx, gid);
    FIELD("FuseStatx.Mode", struct fuse_statx, mode);
    FIELD("FuseStatx.Inode", struct fuse_statx, ino);
    FIELD("FuseStatx.Size", struct fuse_statx, size);
    FIELD("FuseStatx.Blocks", struct fuse_statx, blocks);
    FIELD("FuseStatx.AttributesMask", struct fuse_statx, attributes_mask);
    FIELD("FuseStatx.AccessTime", struct fuse_statx, atime);
    FIELD("FuseStatx.BirthTime", struct fuse_statx, btime);
    FIELD("FuseStatx.ChangeTime", struct fuse_statx, ctime);
    FIELD("FuseStatx.ModifyTime", struct fuse_statx, mtime);
    FIELD("FuseStatx.RDeviceMajor", struct fuse_statx, rdev_major);
    FIELD("FuseStatx.RDeviceMinor", struct fuse_statx, rdev_minor);
    FIELD("FuseStatx.DeviceMajor", struct fuse_statx, dev_major);
    FIELD("FuseStatx.DeviceMinor", struct fuse_statx, dev_minor);
#else
    ABSENT("FuseStatx");
#endif

#if FUSE_KERNEL_MINOR_VERSION >= 39
    STRUCT("FuseStatxIn", struct fuse_statx_in);
    FIELD("FuseStatxIn.GetattrFlags", struct fuse_statx_in, getattr_flags);
    FIELD("FuseStatxIn.Reserved", struct fuse_statx_in, reserved);
    FIELD("FuseStatxIn.Handle", struct fuse_statx_in, fh);
    FIELD("FuseStatxIn.Flags", struct fuse_statx_in, sx_flags);
    FIELD("FuseStatxIn.Mask", struct fuse_statx_in, sx_mask);
#else
    ABSENT("FuseStatxIn");
#endif

#if FUSE_KERNEL_MINOR_VERSION >= 39
    STRUCT("FuseStatxOut", struct fuse_statx_out);
    FIELD("FuseStatxOut.AttrValid", struct fuse_statx_out, attr_valid);
    FIELD("FuseStatxOut.AttrValidNs", struct fuse_statx_out, attr_valid_nsec);
    FIELD("FuseStatxOut.Flags", struct fuse_statx_out, flags);
    FIELD("FuseStatxOut.Stat", struct fuse_statx_out, stat);
#else
    ABSENT("FuseStatxOut");
#endif

    STRUCT("FuseNotifyInvalInodeOut", struct fuse_notify_inval_inode_out);
    FIELD("FuseNotifyInvalInodeOut.Inode", struct fuse_notify_inval_inode_out, ino);
    FIELD("FuseNotifyInvalInodeOut.Offset", struct fuse_notify_inval_inode_out, off);
    FIELD("FuseNotifyInvalInodeOut.Length", struct fuse_notify_inval_inode_out, len);

    STRUCT("FuseNotifyStoreOut", struct fuse_notify_store_out);
    FIELD("FuseNotifyStoreOut.NodeId", struct fuse_notify_store_out, nodeid);
    FIELD("FuseNotifyStoreOut.Offset", struct fuse_notify_store_out, offset);
    FIELD("FuseNotifyStoreOut.Size", struct fuse_notify_store_out, size);
    FIELD("FuseNotifyStoreOut.Padding", struct fuse_notify_store_out, padding);

    STRUCT("FuseNotifyRetrieveOut", struct fuse_notify_retrieve_out);
    FIELD("FuseNotifyRetrieveOut.NotifyUnique", struct fuse_notify_retrieve_out, notify_unique);
    FIELD("FuseNotifyRetrieveOut.NodeId", struct fuse_notify_retrieve_out, nodeid);
    FIELD("FuseNotifyRetrieveOut.Offset", struct fuse_notify_retrieve_out, offset);
    FIELD("FuseNotifyRetrieveOut.Size", struct fuse_notify_retrieve_out, size);
    FIELD("FuseNotifyRetrieveOut.Padding", struct fuse_notify_retrieve_out, padding);

    STRUCT("FuseNotifyPollWakeupOut", struct fuse_notify_poll_wakeup_out);
    FIELD("FuseNotifyPollWakeupOut.PollHandle", struct fuse_notify_poll_wakeup_out, kh);
}
