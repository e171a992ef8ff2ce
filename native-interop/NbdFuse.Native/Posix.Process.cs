using System.Runtime.InteropServices;

namespace NbdFuse.Native;

public static unsafe partial class Posix
{
    /// <summary><see cref="MlockAll"/>: what is mapped now (MCL_CURRENT).</summary>
    public const int MlockCurrent = 1;

    /// <summary><see cref="MlockAll"/>: what will be mapped (MCL_FUTURE).</summary>
    public const int MlockFuture = 2;

    /// <summary><see cref="MlockAll"/>: lock a page when it is first touched (MCL_ONFAULT).</summary>
    public const int MlockOnFault = 4;

    /// <summary><see cref="Prctl"/>: the process writes back what others dirty; no recursion into I/O under memory pressure (PR_SET_IO_FLUSHER).</summary>
    public const int PrSetIoFlusher = 57;

    /// <summary><see cref="Prctl"/>: whether the calling thread has that mark, 1 or 0 (PR_GET_IO_FLUSHER).</summary>
    public const int PrGetIoFlusher = 58;

    /// <summary><see cref="SetLimit"/>: largest core dump in bytes (RLIMIT_CORE).</summary>
    public const int LimitCore = 4;

    /// <summary><see cref="Prctl"/>: whether /proc/self is owned by the user and core dumps are made (PR_SET_DUMPABLE).</summary>
    public const int PrSetDumpable = 4;

    /// <summary><see cref="Prctl"/>: orphaned descendants become children of this process (PR_SET_CHILD_SUBREAPER).</summary>
    public const int PrSetChildSubreaper = 36;

    /// <summary>Whether this is an arm64 machine; otherwise it is x86-64.</summary>
    internal static readonly bool IsArm64 = RuntimeInformation.ProcessArchitecture == Architecture.Arm64;

    /// <summary>The real user.</summary>
    public static uint GetUid() => Libc.getuid();

    /// <summary>The effective user; 0 is root.</summary>
    public static uint GetEuid() => Libc.geteuid();

    /// <summary>The real group.</summary>
    public static uint GetGid() => Libc.getgid();

    /// <summary>The effective group.</summary>
    public static uint GetEgid() => Libc.getegid();

    /// <summary>The process.</summary>
    public static int GetPid() => Libc.getpid();

    /// <summary>The calling thread as the kernel numbers it.</summary>
    public static int GetTid() => Libc.gettid();

    /// <summary>Sets the file creation mask of the whole process.</summary>
    /// <param name="mask">Permission bits that new files shall not have.</param>
    /// <returns>The mask that held before.</returns>
    public static int Umask(int mask) => (int)Libc.umask((uint)mask);

    /// <summary>Gives the rest of the time slice away.</summary>
    public static int SchedYield() => Result(Libc.sched_yield());

    /// <summary>Bytes per page: 4096 on x86-64, 4096 to 65536 on arm64.</summary>
    public static int GetPageSize() => Environment.SystemPageSize;

    /// <summary>Locks the memory of the process against paging.</summary>
    /// <param name="flags">A combination of the Mlock constants.</param>
    public static int MlockAll(int flags) => Result(Libc.mlockall(flags));

    /// <summary>prctl(2).</summary>
    /// <param name="option">PR_* number.</param>
    /// <param name="argument2">Second argument.</param>
    /// <param name="argument3">Third argument.</param>
    /// <param name="argument4">Fourth argument.</param>
    /// <param name="argument5">Fifth argument.</param>
    public static int Prctl(int option, long argument2 = 0, long argument3 = 0, long argument4 = 0, long argument5 = 0) =>
        Result(Libc.prctl(option, (nint)argument2, (nint)argument3, (nint)argument4, (nint)argument5));

    /// <summary>Sets a limit of the process, both what holds and what it may be raised to (setrlimit(2)).</summary>
    /// <param name="resource">One of the Limit constants.</param>
    /// <param name="value">The limit.</param>
    public static int SetLimit(int resource, ulong value)
    {
        // SAFETY: the structure is on this stack, and the kernel copies it within the call.
        ResourceLimit limit = new() { Current = value, Maximum = value };
        return Result(Libc.setrlimit(resource, &limit));
    }

    /// <summary>kill(2).</summary>
    /// <param name="pid">A process; negative for a process group.</param>
    /// <param name="signal">The signal's number; 0 only asks whether the process exists.</param>
    public static int Kill(int pid, int signal) => Result(Libc.kill(pid, signal));
}
