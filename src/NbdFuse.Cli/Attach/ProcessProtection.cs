using NbdFuse.Attach;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>
/// What lets a process serve a device that the machine's memory depends on. Under memory pressure the kernel writes dirty pages to
/// the device, which waits for us: so nothing here may wait for memory that only that writing frees. All of it is best effort, and
/// what could not be had is told.
/// </summary>
internal static class ProcessProtection
{
    private const string OomScore = "/proc/self/oom_score_adj";

    // OOM_SCORE_ADJ_MIN: never chosen.
    private const string NeverKilled = "-1000";

    // 1 rather than 0: a kernel that pipes dumps to a program looks at the limit only for this value (core(5) tells of the other
    // half). A dump onto the file system that we serve would wait for the process that is being dumped.
    private const ulong NoCoreDump = 1;

    /// <summary>
    /// Environment of a process that serves a device. Precompiled code is used as it is: no compiler at run time replaces what
    /// is busy, and wants memory for that. Stacks of 512 KiB in place of 8 MiB.
    /// </summary>
    public static IReadOnlyList<string> Environment { get; } =
    [
        "DOTNET_TieredCompilation=0",
        "DOTNET_EnableDiagnostics=0",
        "DOTNET_Thread_DefaultStackSize=80000",
    ];

    /// <summary>Whether this process was started with all of <see cref="Environment"/>.</summary>
    public static bool HasEnvironment => Environment.All(setting =>
    {
        string[] pair = setting.Split('=');
        return System.Environment.GetEnvironmentVariable(pair[0]) == pair[1];
    });

    /// <summary>Applies to this process what it can.</summary>
    /// <returns>What holds, and what does not, with the reason.</returns>
    public static IReadOnlyList<Guarantee> Apply()
    {
        int core = Posix.SetLimit(Posix.LimitCore, NoCoreDump);

        // On fault: all that is mapped at present and never used would be several times what we need.
        int memory = Posix.MlockAll(Posix.MlockCurrent | Posix.MlockFuture | Posix.MlockOnFault);
        int flusher = Posix.Prctl(Posix.PrGetIoFlusher);
        return
        [
            Result("memory-locked", memory, "needs CAP_IPC_LOCK, or a large RLIMIT_MEMLOCK"),
            flusher switch
            {
                1 => new Guarantee("io-flusher", true),
                0 => new Guarantee("io-flusher", false, "the process was not started by nbdfuse attach"),
                _ => Result("io-flusher", flusher, "needs CAP_SYS_RESOURCE"),
            },
            ProtectFromOomKiller(),
            Result("no-core-dump", core, "the limit cannot be set"),
            new Guarantee(
                "precompiled", HasEnvironment, HasEnvironment ? null : "the runtime may compile busy code again while the device is used"),
        ];
    }

    private static Guarantee ProtectFromOomKiller()
    {
        const string Name = "oom-protected";
        try
        {
            File.WriteAllText(OomScore, NeverKilled);
            return new Guarantee(Name, true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new Guarantee(Name, false, $"needs CAP_SYS_RESOURCE: {ErrorText.OneLine(e.Message)}");
        }
    }

    private static Guarantee Result(string name, int result, string remedy) =>
        result >= 0 ? new Guarantee(name, true) : new Guarantee(name, false, $"{remedy}: {Errno.Describe(result)}");
}
