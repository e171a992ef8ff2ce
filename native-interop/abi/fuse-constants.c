/* The FUSE protocol's numbers. */
#define _GNU_SOURCE
#include <sys/ioctl.h>
#include <linux/fuse.h>
#include <linux/magic.h>
#include "abi-dump.h"

void dump_fuse_constants(void)
{
    CONST("FuseOpcode.Lookup", FUSE_LOOKUP);
    CONST("FuseOpcode.Forget", FUSE_FORGET);
    CONST("FuseOpcode.Getattr", FUSE_GETATTR);
    CONST("FuseOpcode.Setattr", FUSE_SETATTR);
    CONST("FuseOpcode.Readlink", FUSE_READLINK);
    CONST("FuseOpcode.Symlink", FUSE_SYMLINK);
    CONST("FuseOpcode.Mknod", FUSE_MKNOD);
    CONST("FuseOpcode.Mkdir", FUSE_MKDIR);
    CONST("FuseOpcode.Unlink", FUSE_UNLINK);
    CONST("FuseOpcode.Rmdir", FUSE_RMDIR);
    CONST("FuseOpcode.Rename", FUSE_RENAME);
    CONST("FuseOpcode.Link", FUSE_LINK);
    CONST("FuseOpcode.Open", FUSE_OPEN);
    CONST("FuseOpcode.Read", FUSE_READ);
    CONST("FuseOpcode.Write", FUSE_WRITE);
    CONST("FuseOpcode.Statfs", FUSE_STATFS);
    CONST("FuseOpcode.Release", FUSE_RELEASE);
    CONST("FuseOpcode.Fsync", FUSE_FSYNC);
    CONST("FuseOpcode.Setxattr", FUSE_SETXATTR);
    CONST("FuseOpcode.Getxattr", FUSE_GETXATTR);
    CONST("FuseOpcode.Listxattr", FUSE_LISTXATTR);
    CONST("FuseOpcode.Removexattr", FUSE_REMOVEXATTR);
    CONST("FuseOpcode.Flush", FUSE_FLUSH);
    CONST("FuseOpcode.Init", FUSE_INIT);
    CONST("FuseOpcode.Opendir", FUSE_OPENDIR);
    CONST("FuseOpcode.Readdir", FUSE_READDIR);
    CONST("FuseOpcode.Releasedir", FUSE_RELEASEDIR);
    CONST("FuseOpcode.Fsyncdir", FUSE_FSYNCDIR);
    CONST("FuseOpcode.Getlk", FUSE_GETLK);
    CONST("FuseOpcode.Setlk", FUSE_SETLK);
    CONST("FuseOpcode.Setlkw", FUSE_SETLKW);
    CONST("FuseOpcode.Access", FUSE_ACCESS);
    CONST("FuseOpcode.Create", FUSE_CREATE);
    CONST("FuseOpcode.Interrupt", FUSE_INTERRUPT);
    CONST("FuseOpcode.Bmap", FUSE_BMAP);
    CONST("FuseOpcode.Destroy", FUSE_DESTROY);
    CONST("FuseOpcode.Ioctl", FUSE_IOCTL);
    CONST("FuseOpcode.Poll", FUSE_POLL);
    CONST("FuseOpcode.NotifyReply", FUSE_NOTIFY_REPLY);
    CONST("FuseOpcode.BatchForget", FUSE_BATCH_FORGET);
    CONST("FuseOpcode.Fallocate", FUSE_FALLOCATE);
    CONST("FuseOpcode.Readdirplus", FUSE_READDIRPLUS);
    CONST("FuseOpcode.Rename2", FUSE_RENAME2);
    CONST("FuseOpcode.Lseek", FUSE_LSEEK);
    CONST("FuseOpcode.CopyFileRange", FUSE_COPY_FILE_RANGE);
    CONST("FuseOpcode.SetupMapping", FUSE_SETUPMAPPING);
    CONST("FuseOpcode.RemoveMapping", FUSE_REMOVEMAPPING);
#if FUSE_KERNEL_MINOR_VERSION >= 34
    CONST("FuseOpcode.Syncfs", FUSE_SYNCFS);
#else
    ABSENT("FuseOpcode.Syncfs");
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 37
    CONST("FuseOpcode.Tmpfile", FUSE_TMPFILE);
#else
    ABSENT("FuseOpcode.Tmpfile");
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 39
    CONST("FuseOpcode.Statx", FUSE_STATX);
#else
    ABSENT("FuseOpcode.Statx");
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 45
    CONST("FuseOpcode.CopyFileRange64", FUSE_COPY_FILE_RANGE_64);
#else
    ABSENT("FuseOpcode.CopyFileRange64");
#endif
    CONST("FuseInitFlags.AsyncRead", FUSE_ASYNC_READ);
    CONST("FuseInitFlags.PosixLocks", FUSE_POSIX_LOCKS);
    CONST("FuseInitFlags.FileOps", FUSE_FILE_OPS);
    CONST("FuseInitFlags.AtomicTruncate", FUSE_ATOMIC_O_TRUNC);
    CONST("FuseInitFlags.ExportSupport", FUSE_EXPORT_SUPPORT);
    CONST("FuseInitFlags.BigWrites", FUSE_BIG_WRITES);
    CONST("FuseInitFlags.DontMask", FUSE_DONT_MASK);
    CONST("FuseInitFlags.SpliceWrite", FUSE_SPLICE_WRITE);
    CONST("FuseInitFlags.SpliceMove", FUSE_SPLICE_MOVE);
    CONST("FuseInitFlags.SpliceRead", FUSE_SPLICE_READ);
    CONST("FuseInitFlags.FlockLocks", FUSE_FLOCK_LOCKS);
    CONST("FuseInitFlags.HasIoctlDir", FUSE_HAS_IOCTL_DIR);
    CONST("FuseInitFlags.AutoInvalidateData", FUSE_AUTO_INVAL_DATA);
    CONST("FuseInitFlags.DoReaddirplus", FUSE_DO_READDIRPLUS);
    CONST("FuseInitFlags.ReaddirplusAuto", FUSE_READDIRPLUS_AUTO);
    CONST("FuseInitFlags.AsyncDirectIo", FUSE_ASYNC_DIO);
    CONST("FuseInitFlags.WritebackCache", FUSE_WRITEBACK_CACHE);
    CONST("FuseInitFlags.NoOpenSupport", FUSE_NO_OPEN_SUPPORT);
    CONST("FuseInitFlags.ParallelDirectoryOps", FUSE_PARALLEL_DIROPS);
    CONST("FuseInitFlags.HandleKillpriv", FUSE_HANDLE_KILLPRIV);
    CONST("FuseInitFlags.PosixAcl", FUSE_POSIX_ACL);
    CONST("FuseInitFlags.AbortError", FUSE_ABORT_ERROR);
    CONST("FuseInitFlags.MaxPages", FUSE_MAX_PAGES);
    CONST("FuseInitFlags.CacheSymlinks", FUSE_CACHE_SYMLINKS);
    CONST("FuseInitFlags.NoOpendirSupport", FUSE_NO_OPENDIR_SUPPORT);
    CONST("FuseInitFlags.ExplicitInvalidateData", FUSE_EXPLICIT_INVAL_DATA);
    CONST("FuseInitFlags.MapAlignment", FUSE_MAP_ALIGNMENT);
    CONST("FuseInitFlags.Submounts", FUSE_SUBMOUNTS);
    CONST("FuseInitFlags.HandleKillprivV2", FUSE_HANDLE_KILLPRIV_V2);
    CONST("FuseInitFlags.SetxattrExtended", FUSE_SETXATTR_EXT);
#ifdef FUSE_INIT_EXT
    CONST("FuseInitFlags.InitExtended", FUSE_INIT_EXT);
#else
    ABSENT("FuseInitFlags.InitExtended");
#endif
#ifdef FUSE_SECURITY_CTX
    CONST("FuseInitFlags.SecurityContext", FUSE_SECURITY_CTX);
#else
    ABSENT("FuseInitFlags.SecurityContext");
#endif
#ifdef FUSE_HAS_INODE_DAX
    CONST("FuseInitFlags.HasInodeDax", FUSE_HAS_INODE_DAX);
#else
    ABSENT("FuseInitFlags.HasInodeDax");
#endif
#ifdef FUSE_CREATE_SUPP_GROUP
    CONST("FuseInitFlags.CreateSupplementaryGroup", FUSE_CREATE_SUPP_GROUP);
#else
    ABSENT("FuseInitFlags.CreateSupplementaryGroup");
#endif
#ifdef FUSE_HAS_EXPIRE_ONLY
    CONST("FuseInitFlags.HasExpireOnly", FUSE_HAS_EXPIRE_ONLY);
#else
    ABSENT("FuseInitFlags.HasExpireOnly");
#endif
#ifdef FUSE_DIRECT_IO_ALLOW_MMAP
    CONST("FuseInitFlags.DirectIoAllowMmap", FUSE_DIRECT_IO_ALLOW_MMAP);
#else
    ABSENT("FuseInitFlags.DirectIoAllowMmap");
#endif
#ifdef FUSE_PASSTHROUGH
    CONST("FuseInitFlags.Passthrough", FUSE_PASSTHROUGH);
#else
    ABSENT("FuseInitFlags.Passthrough");
#endif
#ifdef FUSE_NO_EXPORT_SUPPORT
    CONST("FuseInitFlags.NoExportSupport", FUSE_NO_EXPORT_SUPPORT);
#else
    ABSENT("FuseInitFlags.NoExportSupport");
#endif
#ifdef FUSE_HAS_RESEND
    CONST("FuseInitFlags.HasResend", FUSE_HAS_RESEND);
#else
    ABSENT("FuseInitFlags.HasResend");
#endif
#ifdef FUSE_ALLOW_IDMAP
    CONST("FuseInitFlags.AllowIdmap", FUSE_ALLOW_IDMAP);
#else
    ABSENT("FuseInitFlags.AllowIdmap");
#endif
#ifdef FUSE_OVER_IO_URING
    CONST("FuseInitFlags.OverIoUring", FUSE_OVER_IO_URING);
#else
    ABSENT("FuseInitFlags.OverIoUring");
#endif
#ifdef FUSE_REQUEST_TIMEOUT
    CONST("FuseInitFlags.RequestTimeout", FUSE_REQUEST_TIMEOUT);
#else
    ABSENT("FuseInitFlags.RequestTimeout");
#endif
    CONST("FuseOpenOutFlags.DirectIo", FOPEN_DIRECT_IO);
    CONST("FuseOpenOutFlags.KeepCache", FOPEN_KEEP_CACHE);
    CONST("FuseOpenOutFlags.NonSeekable", FOPEN_NONSEEKABLE);
    CONST("FuseOpenOutFlags.CacheDirectory", FOPEN_CACHE_DIR);
    CONST("FuseOpenOutFlags.Stream", FOPEN_STREAM);
#ifdef FOPEN_NOFLUSH
    CONST("FuseOpenOutFlags.NoFlush", FOPEN_NOFLUSH);
#else
    ABSENT("FuseOpenOutFlags.NoFlush");
#endif
#ifdef FOPEN_PARALLEL_DIRECT_WRITES
    CONST("FuseOpenOutFlags.ParallelDirectWrites", FOPEN_PARALLEL_DIRECT_WRITES);
#else
    ABSENT("FuseOpenOutFlags.ParallelDirectWrites");
#endif
#ifdef FOPEN_PASSTHROUGH
    CONST("FuseOpenOutFlags.Passthrough", FOPEN_PASSTHROUGH);
#else
    ABSENT("FuseOpenOutFlags.Passthrough");
#endif
    CONST("FuseSetattrValid.Mode", FATTR_MODE);
    CONST("FuseSetattrValid.Uid", FATTR_UID);
    CONST("FuseSetattrValid.Gid", FATTR_GID);
    CONST("FuseSetattrValid.Size", FATTR_SIZE);
    CONST("FuseSetattrValid.AccessTime", FATTR_ATIME);
    CONST("FuseSetattrValid.ModifyTime", FATTR_MTIME);
    CONST("FuseSetattrValid.Handle", FATTR_FH);
    CONST("FuseSetattrValid.AccessTimeNow", FATTR_ATIME_NOW);
    CONST("FuseSetattrValid.ModifyTimeNow", FATTR_MTIME_NOW);
    CONST("FuseSetattrValid.LockOwner", FATTR_LOCKOWNER);
    CONST("FuseSetattrValid.ChangeTime", FATTR_CTIME);
    CONST("FuseSetattrValid.KillSuidGid", FATTR_KILL_SUIDGID);
    CONST("FuseNotifyCode.Poll", FUSE_NOTIFY_POLL);
    CONST("FuseNotifyCode.InvalidateInode", FUSE_NOTIFY_INVAL_INODE);
    CONST("FuseNotifyCode.InvalidateEntry", FUSE_NOTIFY_INVAL_ENTRY);
    CONST("FuseNotifyCode.Store", FUSE_NOTIFY_STORE);
    CONST("FuseNotifyCode.Retrieve", FUSE_NOTIFY_RETRIEVE);
    CONST("FuseNotifyCode.Delete", FUSE_NOTIFY_DELETE);
#if FUSE_KERNEL_MINOR_VERSION >= 40
    CONST("FuseNotifyCode.Resend", FUSE_NOTIFY_RESEND);
#else
    ABSENT("FuseNotifyCode.Resend");
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 44
    CONST("FuseNotifyCode.IncrementEpoch", FUSE_NOTIFY_INC_EPOCH);
#else
    ABSENT("FuseNotifyCode.IncrementEpoch");
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 45
    CONST("FuseNotifyCode.Prune", FUSE_NOTIFY_PRUNE);
#else
    ABSENT("FuseNotifyCode.Prune");
#endif
    CONST("FuseConstants.RootId", FUSE_ROOT_ID);
    CONST("FuseConstants.MinimumReadBuffer", FUSE_MIN_READ_BUFFER);
    CONST("FuseConstants.DeviceClone", FUSE_DEV_IOC_CLONE);
#ifdef FUSE_DEV_IOC_SYNC_INIT
    CONST("FuseConstants.DeviceSyncInit", FUSE_DEV_IOC_SYNC_INIT);
#else
    ABSENT("FuseConstants.DeviceSyncInit");
#endif
#ifdef FUSE_UNIQUE_RESEND
    CONST("FuseConstants.UniqueResend", FUSE_UNIQUE_RESEND);
#else
    ABSENT("FuseConstants.UniqueResend");
#endif
    CONST("FuseConstants.GetattrHandle", FUSE_GETATTR_FH);
    CONST("FuseConstants.ReleaseFlush", FUSE_RELEASE_FLUSH);
    CONST("FuseConstants.WriteCache", FUSE_WRITE_CACHE);
    CONST("FuseConstants.FsyncDataOnly", FUSE_FSYNC_FDATASYNC);
    CONST("FuseConstants.SuperMagic", FUSE_SUPER_MAGIC);
}
