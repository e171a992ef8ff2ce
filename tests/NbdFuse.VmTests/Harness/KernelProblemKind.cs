namespace NbdFuse.VmTests.Harness;

/// <summary>What a kernel can complain about.</summary>
public enum KernelProblemKind
{
    /// <summary>It stopped.</summary>
    Panic,

    /// <summary>It broke an assumption of its own.</summary>
    Oops,

    /// <summary>
    /// QEMU's software emulation met code that another processor was patching (Oops: int3): no fault of what is tested.
    /// </summary>
    EmulationFault,

    /// <summary>
    /// Linux before 6.15 in the exit of a ublk server under load: its commands are cancelled although the kernel is about to
    /// complete them with a request (mended by "ublk: fix race between io_uring_cmd_complete_in_task and ublk_cancel_cmd").
    /// </summary>
    UblkCancelRace,

    /// <summary>A task did not get on for long (30 s).</summary>
    HungTask,

    /// <summary>A block device answered with an error.</summary>
    IoError,

    /// <summary>A filesystem found itself damaged, or could not write.</summary>
    Filesystem,

    /// <summary>A process was killed for want of memory.</summary>
    OutOfMemory,

    /// <summary>A stack trace of the kernel's own making (WARN_ON).</summary>
    Warning,
}
