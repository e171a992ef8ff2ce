/* io_uring and ublk. The headers of older systems lack some, or all, of ublk. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <sys/syscall.h>
#if defined(__has_include)
#if __has_include(<linux/ublk_cmd.h>)
#include <sys/ioctl.h>
#include <linux/ublk_cmd.h>
#define HAVE_UBLK
#endif
#endif
#include "abi-dump.h"

static void dump_io_uring(void)
{
    STRUCT("IoUringParams", struct io_uring_params);
    FIELD("IoUringParams.SqEntries", struct io_uring_params, sq_entries);
    FIELD("IoUringParams.CqEntries", struct io_uring_params, cq_entries);
    FIELD("IoUringParams.Flags", struct io_uring_params, flags);
    FIELD("IoUringParams.SqThreadCpu", struct io_uring_params, sq_thread_cpu);
    FIELD("IoUringParams.SqThreadIdle", struct io_uring_params, sq_thread_idle);
    FIELD("IoUringParams.Features", struct io_uring_params, features);
    FIELD("IoUringParams.WqFd", struct io_uring_params, wq_fd);
    FIELD("IoUringParams.SqOffsets", struct io_uring_params, sq_off);
    FIELD("IoUringParams.CqOffsets", struct io_uring_params, cq_off);

    STRUCT("IoUringSqOffsets", struct io_sqring_offsets);
    FIELD("IoUringSqOffsets.Head", struct io_sqring_offsets, head);
    FIELD("IoUringSqOffsets.Tail", struct io_sqring_offsets, tail);
    FIELD("IoUringSqOffsets.RingMask", struct io_sqring_offsets, ring_mask);
    FIELD("IoUringSqOffsets.RingEntries", struct io_sqring_offsets, ring_entries);
    FIELD("IoUringSqOffsets.Flags", struct io_sqring_offsets, flags);
    FIELD("IoUringSqOffsets.Dropped", struct io_sqring_offsets, dropped);
    FIELD("IoUringSqOffsets.Array", struct io_sqring_offsets, array);

    STRUCT("IoUringCqOffsets", struct io_cqring_offsets);
    FIELD("IoUringCqOffsets.Head", struct io_cqring_offsets, head);
    FIELD("IoUringCqOffsets.Tail", struct io_cqring_offsets, tail);
    FIELD("IoUringCqOffsets.RingMask", struct io_cqring_offsets, ring_mask);
    FIELD("IoUringCqOffsets.RingEntries", struct io_cqring_offsets, ring_entries);
    FIELD("IoUringCqOffsets.Overflow", struct io_cqring_offsets, overflow);
    FIELD("IoUringCqOffsets.Cqes", struct io_cqring_offsets, cqes);
    FIELD("IoUringCqOffsets.Flags", struct io_cqring_offsets, flags);

    STRUCT("IoUringSqe", struct io_uring_sqe);
    FIELD("IoUringSqe.Opcode", struct io_uring_sqe, opcode);
    FIELD("IoUringSqe.Flags", struct io_uring_sqe, flags);
    FIELD("IoUringSqe.IoPriority", struct io_uring_sqe, ioprio);
    FIELD("IoUringSqe.Fd", struct io_uring_sqe, fd);
    FIELD("IoUringSqe.Offset", struct io_uring_sqe, off);
    FIELD("IoUringSqe.CommandOperation", struct io_uring_sqe, cmd_op);
    FIELD("IoUringSqe.Address", struct io_uring_sqe, addr);
    FIELD("IoUringSqe.Length", struct io_uring_sqe, len);
    FIELD("IoUringSqe.OperationFlags", struct io_uring_sqe, poll32_events);
    FIELD("IoUringSqe.UserData", struct io_uring_sqe, user_data);
    FIELD("IoUringSqe.BufferIndex", struct io_uring_sqe, buf_index);
    FIELD("IoUringSqe.Personality", struct io_uring_sqe, personality);
    FIELD("IoUringSqe.FileIndex", struct io_uring_sqe, file_index);
    FIELD("IoUringSqe.Address3", struct io_uring_sqe, cmd);

    STRUCT("IoUringCqe", struct io_uring_cqe);
    FIELD("IoUringCqe.UserData", struct io_uring_cqe, user_data);
    FIELD("IoUringCqe.Result", struct io_uring_cqe, res);
    FIELD("IoUringCqe.Flags", struct io_uring_cqe, flags);

    STRUCT("IoUringGetEventsArgument", struct io_uring_getevents_arg);
    FIELD("IoUringGetEventsArgument.SignalMask", struct io_uring_getevents_arg, sigmask);
    FIELD("IoUringGetEventsArgument.SignalMaskSize", struct io_uring_getevents_arg, sigmask_sz);
    FIELD("IoUringGetEventsArgument.Timeout", struct io_uring_getevents_arg, ts);

    STRUCT("KernelTimespec", struct __kernel_timespec);
    FIELD("KernelTimespec.Seconds", struct __kernel_timespec, tv_sec);
    FIELD("KernelTimespec.Nanoseconds", struct __kernel_timespec, tv_nsec);

    CONST("IoUringRing.SetupNumber", SYS_io_uring_setup);
    CONST("IoUringRing.EnterNumber", SYS_io_uring_enter);
    CONST("IoUringRing.RegisterNumber", SYS_io_uring_register);
    CONST("IoUringRing.RingOffset", IORING_OFF_SQ_RING);
    CONST("IoUringRing.EntriesOffset", IORING_OFF_SQES);
    CONST("IoUringSetupFlags.CqSize", IORING_SETUP_CQSIZE);
    CONST("IoUringSetupFlags.Clamp", IORING_SETUP_CLAMP);
    CONST("IoUringSetupFlags.SubmitAll", IORING_SETUP_SUBMIT_ALL);
    CONST("IoUringSetupFlags.CoopTaskRun", IORING_SETUP_COOP_TASKRUN);
    CONST("IoUringSetupFlags.TaskRunFlag", IORING_SETUP_TASKRUN_FLAG);
    CONST("IoUringSetupFlags.Sqe128", IORING_SETUP_SQE128);
    CONST("IoUringSetupFlags.SingleIssuer", IORING_SETUP_SINGLE_ISSUER);
    CONST("IoUringSetupFlags.DeferTaskRun", IORING_SETUP_DEFER_TASKRUN);
    CONST("IoUringFeatures.SingleMap", IORING_FEAT_SINGLE_MMAP);
    CONST("IoUringFeatures.NoDrop", IORING_FEAT_NODROP);
    CONST("IoUringFeatures.ExtendedArgument", IORING_FEAT_EXT_ARG);
    CONST("IoUringEnterFlags.GetEvents", IORING_ENTER_GETEVENTS);
    CONST("IoUringEnterFlags.ExtendedArgument", IORING_ENTER_EXT_ARG);
    CONST("IoUringSqFlags.CqOverflow", IORING_SQ_CQ_OVERFLOW);
    CONST("IoUringSqFlags.TaskRun", IORING_SQ_TASKRUN);
    CONST("IoUringOpcode.Nop", IORING_OP_NOP);
    CONST("IoUringOpcode.PollAdd", IORING_OP_POLL_ADD);
    CONST("IoUringOpcode.AsyncCancel", IORING_OP_ASYNC_CANCEL);
    CONST("IoUringOpcode.Read", IORING_OP_READ);
    CONST("IoUringOpcode.Command", IORING_OP_URING_CMD);
    CONST("IoUringRegisterOperation.EventFd", IORING_REGISTER_EVENTFD);
}

#ifdef HAVE_UBLK
static void dump_ublk_structures(void)
{
    STRUCT("UblkControlCommand", struct ublksrv_ctrl_cmd);
    FIELD("UblkControlCommand.DeviceId", struct ublksrv_ctrl_cmd, dev_id);
    FIELD("UblkControlCommand.QueueId", struct ublksrv_ctrl_cmd, queue_id);
    FIELD("UblkControlCommand.Length", struct ublksrv_ctrl_cmd, len);
    FIELD("UblkControlCommand.Address", struct ublksrv_ctrl_cmd, addr);
    FIELD("UblkControlCommand.Data", struct ublksrv_ctrl_cmd, data);

    STRUCT("UblkDeviceInfo", struct ublksrv_ctrl_dev_info);
    FIELD("UblkDeviceInfo.Queues", struct ublksrv_ctrl_dev_info, nr_hw_queues);
    FIELD("UblkDeviceInfo.Depth", struct ublksrv_ctrl_dev_info, queue_depth);
    FIELD("UblkDeviceInfo.State", struct ublksrv_ctrl_dev_info, state);
    FIELD("UblkDeviceInfo.MaximumIo", struct ublksrv_ctrl_dev_info, max_io_buf_bytes);
    FIELD("UblkDeviceInfo.DeviceId", struct ublksrv_ctrl_dev_info, dev_id);
    FIELD("UblkDeviceInfo.ServerPid", struct ublksrv_ctrl_dev_info, ublksrv_pid);
    FIELD("UblkDeviceInfo.Flags", struct ublksrv_ctrl_dev_info, flags);
    FIELD("UblkDeviceInfo.ServerFlags", struct ublksrv_ctrl_dev_info, ublksrv_flags);
#ifdef UBLK_F_UNPRIVILEGED_DEV
    FIELD("UblkControlCommand.PathLength", struct ublksrv_ctrl_cmd, dev_path_len);
    FIELD("UblkDeviceInfo.OwnerUid", struct ublksrv_ctrl_dev_info, owner_uid);
    FIELD("UblkDeviceInfo.OwnerGid", struct ublksrv_ctrl_dev_info, owner_gid);
#else
    ABSENT("UblkControlCommand.PathLength");
    ABSENT("UblkDeviceInfo.OwnerUid");
    ABSENT("UblkDeviceInfo.OwnerGid");
#endif

    STRUCT("UblkBasicParams", struct ublk_param_basic);
    FIELD("UblkBasicParams.Attributes", struct ublk_param_basic, attrs);
    FIELD("UblkBasicParams.LogicalBlockShift", struct ublk_param_basic, logical_bs_shift);
    FIELD("UblkBasicParams.PhysicalBlockShift", struct ublk_param_basic, physical_bs_shift);
    FIELD("UblkBasicParams.OptimalIoShift", struct ublk_param_basic, io_opt_shift);
    FIELD("UblkBasicParams.MinimumIoShift", struct ublk_param_basic, io_min_shift);
    FIELD("UblkBasicParams.MaximumSectors", struct ublk_param_basic, max_sectors);
    FIELD("UblkBasicParams.ChunkSectors", struct ublk_param_basic, chunk_sectors);
    FIELD("UblkBasicParams.DeviceSectors", struct ublk_param_basic, dev_sectors);
    FIELD("UblkBasicParams.VirtualBoundaryMask", struct ublk_param_basic, virt_boundary_mask);

    STRUCT("UblkDiscardParams", struct ublk_param_discard);
    FIELD("UblkDiscardParams.Alignment", struct ublk_param_discard, discard_alignment);
    FIELD("UblkDiscardParams.Granularity", struct ublk_param_discard, discard_granularity);
    FIELD("UblkDiscardParams.MaximumDiscardSectors", struct ublk_param_discard, max_discard_sectors);
    FIELD("UblkDiscardParams.MaximumWriteZeroesSectors", struct ublk_param_discard, max_write_zeroes_sectors);
    FIELD("UblkDiscardParams.MaximumSegments", struct ublk_param_discard, max_discard_segments);

    FIELD("UblkParams.Length", struct ublk_params, len);
    FIELD("UblkParams.Types", struct ublk_params, types);
    FIELD("UblkParams.Basic", struct ublk_params, basic);
    FIELD("UblkParams.Discard", struct ublk_params, discard);
#ifdef UBLK_PARAM_TYPE_DEVT
    STRUCT("UblkDeviceNumbers", struct ublk_param_devt);
    FIELD("UblkDeviceNumbers.CharacterMajor", struct ublk_param_devt, char_major);
    FIELD("UblkDeviceNumbers.CharacterMinor", struct ublk_param_devt, char_minor);
    FIELD("UblkDeviceNumbers.DiskMajor", struct ublk_param_devt, disk_major);
    FIELD("UblkDeviceNumbers.DiskMinor", struct ublk_param_devt, disk_minor);
    FIELD("UblkParams.DeviceNumbers", struct ublk_params, devt);
#else
    ABSENT("UblkDeviceNumbers");
#endif
    /* It has grown with the kernel; ours is that of 6.12. */
#if defined(UBLK_PARAM_TYPE_ZONED) && !defined(UBLK_PARAM_TYPE_DMA_ALIGN)
    STRUCT("UblkParams", struct ublk_params);
#else
    ABSENT("UblkParams");
#endif

    STRUCT("UblkIoDescriptor", struct ublksrv_io_desc);
    FIELD("UblkIoDescriptor.OperationAndFlags", struct ublksrv_io_desc, op_flags);
    FIELD("UblkIoDescriptor.Sectors", struct ublksrv_io_desc, nr_sectors);
    FIELD("UblkIoDescriptor.StartSector", struct ublksrv_io_desc, start_sector);
    FIELD("UblkIoDescriptor.Address", struct ublksrv_io_desc, addr);

    STRUCT("UblkIoCommand", struct ublksrv_io_cmd);
    FIELD("UblkIoCommand.QueueId", struct ublksrv_io_cmd, q_id);
    FIELD("UblkIoCommand.Tag", struct ublksrv_io_cmd, tag);
    FIELD("UblkIoCommand.Result", struct ublksrv_io_cmd, result);
    FIELD("UblkIoCommand.Address", struct ublksrv_io_cmd, addr);
}

/* A number of ours, whose lowest byte is the older number: as the headers know one of them or both. */
#define OPERATION(name, encoded, legacy) \
    do { \
        CONST("UblkConstants." name, encoded); \
        if (((encoded) & 0xff) != (legacy)) \
            CONST("UblkConstants." name, legacy); \
    } while (0)

static void dump_ublk_constants(void)
{
#ifdef UBLK_U_CMD_START_DEV
    OPERATION("GetQueueAffinity", UBLK_U_CMD_GET_QUEUE_AFFINITY, UBLK_CMD_GET_QUEUE_AFFINITY);
    OPERATION("GetDeviceInfo", UBLK_U_CMD_GET_DEV_INFO, UBLK_CMD_GET_DEV_INFO);
    OPERATION("AddDevice", UBLK_U_CMD_ADD_DEV, UBLK_CMD_ADD_DEV);
    OPERATION("DeleteDevice", UBLK_U_CMD_DEL_DEV, UBLK_CMD_DEL_DEV);
    OPERATION("StartDevice", UBLK_U_CMD_START_DEV, UBLK_CMD_START_DEV);
    OPERATION("StopDevice", UBLK_U_CMD_STOP_DEV, UBLK_CMD_STOP_DEV);
    OPERATION("SetParams", UBLK_U_CMD_SET_PARAMS, UBLK_CMD_SET_PARAMS);
    OPERATION("GetParams", UBLK_U_CMD_GET_PARAMS, UBLK_CMD_GET_PARAMS);
    OPERATION("StartUserRecovery", UBLK_U_CMD_START_USER_RECOVERY, UBLK_CMD_START_USER_RECOVERY);
    OPERATION("EndUserRecovery", UBLK_U_CMD_END_USER_RECOVERY, UBLK_CMD_END_USER_RECOVERY);
    OPERATION("FetchRequest", UBLK_U_IO_FETCH_REQ, UBLK_IO_FETCH_REQ);
    OPERATION("CommitAndFetchRequest", UBLK_U_IO_COMMIT_AND_FETCH_REQ, UBLK_IO_COMMIT_AND_FETCH_REQ);
#else
    /* The encoding itself, from the older numbers: _IOR and _IOWR of 'u', 32 bytes for control and 16 for I/O. */
    CONST("UblkConstants.GetQueueAffinity", _IOR('u', UBLK_CMD_GET_QUEUE_AFFINITY, struct ublksrv_ctrl_cmd));
    CONST("UblkConstants.GetDeviceInfo", _IOR('u', UBLK_CMD_GET_DEV_INFO, struct ublksrv_ctrl_cmd));
    CONST("UblkConstants.AddDevice", _IOWR('u', UBLK_CMD_ADD_DEV, struct ublksrv_ctrl_cmd));
    CONST("UblkConstants.DeleteDevice", _IOWR('u', UBLK_CMD_DEL_DEV, struct ublksrv_ctrl_cmd));
    CONST("UblkConstants.StartDevice", _IOWR('u', UBLK_CMD_START_DEV, struct ublksrv_ctrl_cmd));
    CONST("UblkConstants.StopDevice", _IOWR('u', UBLK_CMD_STOP_DEV, struct ublksrv_ctrl_cmd));
    CONST("UblkConstants.SetParams", _IOWR('u', UBLK_CMD_SET_PARAMS, struct ublksrv_ctrl_cmd));
    CONST("UblkConstants.GetParams", _IOR('u', UBLK_CMD_GET_PARAMS, struct ublksrv_ctrl_cmd));
    CONST("UblkConstants.StartUserRecovery", _IOWR('u', UBLK_CMD_START_USER_RECOVERY, struct ublksrv_ctrl_cmd));
    CONST("UblkConstants.EndUserRecovery", _IOWR('u', UBLK_CMD_END_USER_RECOVERY, struct ublksrv_ctrl_cmd));
    CONST("UblkConstants.FetchRequest", _IOWR('u', UBLK_IO_FETCH_REQ, struct ublksrv_io_cmd));
    CONST("UblkConstants.CommitAndFetchRequest", _IOWR('u', UBLK_IO_COMMIT_AND_FETCH_REQ, struct ublksrv_io_cmd));
#endif
#ifdef UBLK_U_CMD_DEL_DEV_ASYNC
    CONST("UblkConstants.DeleteDeviceAsync", UBLK_U_CMD_DEL_DEV_ASYNC);
#else
    ABSENT("UblkConstants.DeleteDeviceAsync");
#endif
#ifdef UBLK_U_CMD_GET_FEATURES
    CONST("UblkConstants.GetFeatures", UBLK_U_CMD_GET_FEATURES);
#else
    ABSENT("UblkConstants.GetFeatures");
#endif
    CONST("UblkConstants.MaximumDepth", UBLK_MAX_QUEUE_DEPTH);
    CONST("UblkConstants.Abort", UBLK_IO_RES_ABORT);
    CONST("UblkConstants.NeedGetData", UBLK_IO_RES_NEED_GET_DATA);
    CONST("UblkState.Dead", UBLK_S_DEV_DEAD);
    CONST("UblkState.Live", UBLK_S_DEV_LIVE);
    CONST("UblkState.Quiesced", UBLK_S_DEV_QUIESCED);
    CONST("UblkFeatures.ZeroCopy", UBLK_F_SUPPORT_ZERO_COPY);
    CONST("UblkFeatures.CompletionInTask", UBLK_F_URING_CMD_COMP_IN_TASK);
    CONST("UblkFeatures.NeedGetData", UBLK_F_NEED_GET_DATA);
    CONST("UblkFeatures.UserRecovery", UBLK_F_USER_RECOVERY);
    CONST("UblkFeatures.RecoveryReissue", UBLK_F_USER_RECOVERY_REISSUE);
#ifdef UBLK_F_CMD_IOCTL_ENCODE
    CONST("UblkFeatures.Unprivileged", UBLK_F_UNPRIVILEGED_DEV);
    CONST("UblkFeatures.IoctlEncoding", UBLK_F_CMD_IOCTL_ENCODE);
#else
    ABSENT("UblkFeatures.IoctlEncoding");
#endif
#ifdef UBLK_F_USER_COPY
    CONST("UblkFeatures.UserCopy", UBLK_F_USER_COPY);
#else
    ABSENT("UblkFeatures.UserCopy");
#endif
#ifdef UBLK_F_ZONED
    CONST("UblkFeatures.Zoned", UBLK_F_ZONED);
#else
    ABSENT("UblkFeatures.Zoned");
#endif
#ifdef UBLK_S_DEV_FAIL_IO
    CONST("UblkState.FailIo", UBLK_S_DEV_FAIL_IO);
#else
    ABSENT("UblkState.FailIo");
#endif
    CONST("UblkParamTypes.Basic", UBLK_PARAM_TYPE_BASIC);
    CONST("UblkParamTypes.Discard", UBLK_PARAM_TYPE_DISCARD);
    CONST("UblkAttributes.ReadOnly", UBLK_ATTR_READ_ONLY);
    CONST("UblkAttributes.Rotational", UBLK_ATTR_ROTATIONAL);
    CONST("UblkAttributes.VolatileCache", UBLK_ATTR_VOLATILE_CACHE);
    CONST("UblkAttributes.Fua", UBLK_ATTR_FUA);
    CONST("UblkIoOperation.Read", UBLK_IO_OP_READ);
    CONST("UblkIoOperation.Write", UBLK_IO_OP_WRITE);
    CONST("UblkIoOperation.Flush", UBLK_IO_OP_FLUSH);
    CONST("UblkIoOperation.Discard", UBLK_IO_OP_DISCARD);
    CONST("UblkIoOperation.WriteSame", UBLK_IO_OP_WRITE_SAME);
    CONST("UblkIoOperation.WriteZeroes", UBLK_IO_OP_WRITE_ZEROES);
    CONST("UblkIoFlags.FailFastDevice", UBLK_IO_F_FAILFAST_DEV);
    CONST("UblkIoFlags.FailFastTransport", UBLK_IO_F_FAILFAST_TRANSPORT);
    CONST("UblkIoFlags.FailFastDriver", UBLK_IO_F_FAILFAST_DRIVER);
    CONST("UblkIoFlags.Metadata", UBLK_IO_F_META);
    CONST("UblkIoFlags.Fua", UBLK_IO_F_FUA);
    CONST("UblkIoFlags.NoUnmap", UBLK_IO_F_NOUNMAP);
    CONST("UblkIoFlags.Swap", UBLK_IO_F_SWAP);
}
#endif

void dump_ring_and_ublk(void)
{
    dump_io_uring();
#ifdef HAVE_UBLK
    dump_ublk_structures();
    dump_ublk_constants();
#else
    ABSENT("UblkControlCommand");
    ABSENT("UblkDeviceInfo");
    ABSENT("UblkParams");
    ABSENT("UblkBasicParams");
    ABSENT("UblkDiscardParams");
    ABSENT("UblkDeviceNumbers");
    ABSENT("UblkIoDescriptor");
    ABSENT("UblkIoCommand");
#endif
}
