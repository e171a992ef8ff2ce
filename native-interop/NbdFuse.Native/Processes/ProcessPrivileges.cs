using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>Takes capabilities away from this process, for good, while it runs: from each of its threads, and from what they start.</summary>
/// <remarks>
/// Capabilities belong to threads, and each can change its own only. So every thread gets a signal whose handler makes the
/// system calls, as glibc does it for setuid(2) and libpsx of libcap for capabilities. Nothing managed may run in a handler of a
/// signal that can come at any instruction: it is a few instructions of machine code, which walk along a table of system calls.
/// Threads that are made meanwhile inherit from their makers: the search for threads that lack it goes on until there is none.
/// Threads of the kernel in this process (workers of io_uring) take no signals and run nothing of ours; they are passed over.
/// THREADING: once per process, from any thread.
/// </remarks>
public static unsafe class ProcessPrivileges
{
    // A real-time signal (signal(7)): glibc uses the first two, the runtime the third.
    private const int Signal = 50;
    private const int LastCapability = 63;
    private const int EntryWords = 6;
    private const int CodeBytes = 64;
    private const int PageBytes = 65536;
    private const int ProtectReadExecute = 5;

    // prctl(2), linux/capability.h.
    internal const int PrCapBoundingDrop = 24;
    internal const int PrSetNoNewPrivileges = 38;
    internal const int PrCapAmbient = 47;
    internal const int PrCapAmbientClearAll = 4;
    internal const uint CapabilityVersion3 = 0x20080522;

    // struct sigaction of the C library, alike on both architectures: handler, 128 bytes of mask, flags, restorer.
    internal const int ActionBytes = 152;
    internal const int ActionFlagsOffset = 136;
    internal const int FlagRestart = 0x10000000;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private static readonly byte[] CodeX64 =
    [
        0x53, // push rbx
        0x48, 0x8d, 0x1d, 0x38, 0x00, 0x00, 0x00, // lea rbx, [rip + 0x38]: the table, at 64
        0x48, 0x8b, 0x03, // next: mov rax, [rbx]
        0x48, 0x85, 0xc0, // test rax, rax
        0x78, 0x1c, // js end
        0x48, 0x8b, 0x7b, 0x08, // mov rdi, [rbx + 8]
        0x48, 0x8b, 0x73, 0x10, // mov rsi, [rbx + 16]
        0x48, 0x8b, 0x53, 0x18, // mov rdx, [rbx + 24]
        0x4c, 0x8b, 0x53, 0x20, // mov r10, [rbx + 32]
        0x4c, 0x8b, 0x43, 0x28, // mov r8, [rbx + 40]
        0x0f, 0x05, // syscall
        0x48, 0x83, 0xc3, 0x30, // add rbx, 48
        0xeb, 0xdc, // jmp next
        0x5b, // end: pop rbx
        0xc3, // ret
    ];

    private static readonly uint[] CodeArm64 =
    [
        0x10000209, // adr x9, table (at 64)
        0xf9400128, // next: ldr x8, [x9]
        0xb100051f, // cmn x8, #1
        0x540000e0, // b.eq end
        0xa9408520, // ldp x0, x1, [x9, #8]
        0xa9418d22, // ldp x2, x3, [x9, #24]
        0xf9401524, // ldr x4, [x9, #40]
        0xd4000001, // svc #0
        0x9100c129, // add x9, x9, #48
        0x17fffff8, // b next
        0xd65f03c0, // end: ret
    ];

    /// <summary>The capabilities that the calling thread has in effect.</summary>
    public static Capabilities Effective => (Capabilities)Read("/proc/thread-self/status", "CapEff:");

    /// <summary>Takes everything but some capabilities away.</summary>
    /// <param name="keep">What stays, where the process has it.</param>
    /// <param name="allowSetuid">
    /// False: programs that are started get no more than this process has, whatever their setuid bits say (PR_SET_NO_NEW_PRIVS),
    /// and the bounding set shrinks, too.
    /// </param>
    /// <returns>Null; or why it holds not for every thread.</returns>
    public static string? Drop(Capabilities keep, bool allowSetuid)
    {
        ulong have = Read("/proc/thread-self/status", "CapPrm:");
        ulong bounding = Read("/proc/thread-self/status", "CapBnd:");
        ulong kept = have & (ulong)keep;
        byte* page = (byte*)Libc.mmap(null, PageBytes, 3, Mapping.Private | Mapping.Anonymous, -1, 0);
        if (page == (byte*)-1)
        {
            return Errno.Describe(Marshal.GetLastSystemError());
        }

        // SAFETY: the page is ours and large enough: 64 bytes of code, and less than 80 entries of 48 bytes. It stays for the
        // life of the process, because a signal may still be under way.
        Write(new Span<byte>(page, PageBytes), (nint)page, kept, allowSetuid ? 0 : bounding & ~(ulong)keep, !allowSetuid);
        if (Libc.mprotect(page, PageBytes, ProtectReadExecute) != 0)
        {
            return $"this system lets no memory be executed: {Errno.Describe(Marshal.GetLastSystemError())}";
        }

        byte* action = stackalloc byte[ActionBytes];
        new Span<byte>(action, ActionBytes).Clear();
        *(nint*)action = (nint)page;
        *(int*)(action + ActionFlagsOffset) = FlagRestart;
        return Libc.sigaction(Signal, action, null) != 0
            ? Errno.Describe(Marshal.GetLastSystemError())
            : Reach(kept, !allowSetuid);
    }

    /// <summary>Ends with each thread that is found having what it shall have; twice in a row, for those that were made meanwhile.</summary>
    private static string? Reach(ulong kept, bool noNewPrivileges)
    {
        int process = Libc.getpid();
        long deadline = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        int clean = 0;
        while (clean < 2)
        {
            int lacking = 0;
            foreach (string path in Directory.EnumerateDirectories("/proc/self/task"))
            {
                if (!IsDone(path, kept, noNewPrivileges))
                {
                    lacking = int.Parse(Path.GetFileName(path), CultureInfo.InvariantCulture);
                    Libc.syscall(Posix.IsArm64 ? 131 : 234, process, lacking, Signal, 0, 0, 0);
                }
            }

            clean = lacking == 0 ? clean + 1 : 0;
            if (lacking != 0 && Environment.TickCount64 > deadline)
            {
                return $"thread {lacking} does not answer";
            }

            Libc.sched_yield();
        }

        return null;
    }

    private static bool IsDone(string path, ulong kept, bool noNewPrivileges)
    {
        try
        {
            string[] lines = File.ReadAllLines(Path.Combine(path, "status"));
            return IsOfKernel(lines)
                || (Number(lines, "CapPrm:", 16) == kept
                    && Number(lines, "CapEff:", 16) == kept
                    && (!noNewPrivileges || Number(lines, "NoNewPrivs:", 10) == 1));
        }
        catch (IOException)
        {
            // It has ended.
            return true;
        }
    }

    // iou-wrk-NUMBER and iou-sqp-NUMBER: the kernel's own, which take no signals.
    private static bool IsOfKernel(string[] lines) =>
        lines.Length > 0 && lines[0].StartsWith("Name:\tiou-", StringComparison.Ordinal) && Number(lines, "SigBlk:", 16) != 0;

    private static ulong Read(string path, string field) => Number(File.ReadAllLines(path), field, 16);

    private static ulong Number(string[] lines, string field, int radix) =>
        Array.Find(lines, line => line.StartsWith(field, StringComparison.Ordinal)) is { } line
            ? Convert.ToUInt64(line[field.Length..].Trim(), radix)
            : 0;

    /// <summary>Writes code, table and what the table points to.</summary>
    private static void Write(Span<byte> page, nint address, ulong kept, ulong unbound, bool noNewPrivileges)
    {
        if (Posix.IsArm64)
        {
            MemoryMarshal.AsBytes<uint>(CodeArm64).CopyTo(page);
        }
        else
        {
            CodeX64.CopyTo(page);
        }

        // struct __user_cap_header_struct and two of __user_cap_data_struct (capget(2)), at the end of the page.
        const int HeaderOffset = PageBytes - 64;
        const int DataOffset = HeaderOffset + 16;
        BinaryPrimitives.WriteUInt32LittleEndian(page[HeaderOffset..], CapabilityVersion3);
        for (int half = 0; half < 2; half++)
        {
            uint bits = (uint)(kept >> (32 * half));
            BinaryPrimitives.WriteUInt32LittleEndian(page[(DataOffset + (12 * half))..], bits);
            BinaryPrimitives.WriteUInt32LittleEndian(page[(DataOffset + (12 * half) + 4)..], bits);
        }

        nint prctl = Posix.IsArm64 ? 167 : 157;
        nint capset = Posix.IsArm64 ? 91 : 126;
        Span<byte> table = page[CodeBytes..];

        // The bounding set first: it takes CAP_SETPCAP, which goes with the rest.
        for (int capability = 0; capability <= LastCapability; capability++)
        {
            if ((unbound & (1UL << capability)) != 0)
            {
                Add(ref table, prctl, PrCapBoundingDrop, capability);
            }
        }

        Add(ref table, prctl, PrCapAmbient, PrCapAmbientClearAll);
        Add(ref table, capset, address + HeaderOffset, address + DataOffset);
        if (noNewPrivileges)
        {
            Add(ref table, prctl, PrSetNoNewPrivileges, 1);
        }

        Add(ref table, -1, 0, 0);
    }

    private static void Add(ref Span<byte> table, long number, long first, long second)
    {
        Span<long> entry = MemoryMarshal.Cast<byte, long>(table)[..EntryWords];
        entry.Clear();
        (entry[0], entry[1], entry[2]) = (number, first, second);
        table = table[(EntryWords * sizeof(long))..];
    }
}
