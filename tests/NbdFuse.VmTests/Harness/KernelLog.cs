using System.Text.RegularExpressions;

namespace NbdFuse.VmTests.Harness;

/// <summary>Reads a guest's console. It shows what the kernel logs as a warning or worse.</summary>
public static partial class KernelLog
{
    private const int TailLines = 60;

    // The first that fits a line wins. Stalls (rcu, soft lockup) are not here: a busy host makes them.
    private static readonly (KernelProblemKind Kind, Regex Pattern)[] Patterns =
    [
        (KernelProblemKind.EmulationFault, EmulationFault()),
        (KernelProblemKind.UblkCancelRace, UblkCancelRace()),
        (KernelProblemKind.Panic, Panic()),
        (KernelProblemKind.Oops, Oops()),
        (KernelProblemKind.HungTask, HungTask()),
        (KernelProblemKind.Filesystem, Filesystem()),
        (KernelProblemKind.IoError, IoError()),
        (KernelProblemKind.OutOfMemory, OutOfMemory()),
        (KernelProblemKind.Warning, Warning()),
    ];

    /// <summary>Finds what is wrong in a console's text.</summary>
    /// <param name="console">The text.</param>
    public static IReadOnlyList<KernelProblem> Problems(string console)
    {
        var problems = new List<KernelProblem>();
        foreach (string line in console.Split('\n'))
        {
            foreach ((KernelProblemKind kind, Regex pattern) in Patterns)
            {
                if (pattern.IsMatch(line))
                {
                    problems.Add(new KernelProblem(kind, line.Trim()));
                    break;
                }
            }
        }

        return problems;
    }

    /// <summary>Whether a guest failed by the fault of its emulation or of its kernel, known and not of what is tested.</summary>
    /// <param name="console">Its console, or a text that contains the end of it.</param>
    public static bool IsOwnFault(string console) => Problems(console).Any(
        static problem => problem.Kind is KernelProblemKind.EmulationFault or KernelProblemKind.UblkCancelRace);

    /// <summary>The last lines of a console.</summary>
    /// <param name="console">The text.</param>
    public static string Tail(string console)
    {
        string[] lines = console.TrimEnd().Split('\n');
        return string.Join('\n', lines.TakeLast(TailLines));
    }

    /// <summary>Removes what a terminal would not show.</summary>
    /// <param name="text">Text of a serial line.</param>
    public static string Clean(string text) => EscapeSequence().Replace(text, string.Empty).Replace("\r", string.Empty);

    [GeneratedRegex("Oops: int3")]
    private static partial Regex EmulationFault();

    [GeneratedRegex(@"RIP: [0-9a-f]+:(__)?io_fallback_tw\+")]
    private static partial Regex UblkCancelRace();

    [GeneratedRegex("Kernel panic - not syncing")]
    private static partial Regex Panic();

    [GeneratedRegex("Oops: |BUG: |kernel BUG at|general protection fault|Unable to handle kernel")]
    private static partial Regex Oops();

    [GeneratedRegex("blocked for more than")]
    private static partial Regex HungTask();

    [GeneratedRegex(
        @"EXT4-fs (error|warning)|EXT4-fs \(.*\): (.*[Rr]emounting filesystem read-only|shut down|.*delayed block allocation failed)"
        + "|JBD2: .*(error|aborted)|Aborting journal|XFS .*([Cc]orrupt|[Ss]hutdown|[Ss]hutting|error)|BTRFS (error|critical)")]
    private static partial Regex Filesystem();

    [GeneratedRegex("I/O error")]
    private static partial Regex IoError();

    [GeneratedRegex("out of memory|invoked oom-killer", RegexOptions.IgnoreCase)]
    private static partial Regex OutOfMemory();

    [GeneratedRegex("WARNING: (CPU|possible)")]
    private static partial Regex Warning();

    [GeneratedRegex(@"\x1b\[[0-9;?]*[A-Za-z]|\x1b[c()][0-9A-Z]?")]
    private static partial Regex EscapeSequence();
}
