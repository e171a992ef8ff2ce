using Xunit;

namespace NbdFuse.TestKit;

/// <summary>
/// What a test needs from the machine. A missing piece skips the test with a reason, unless NBDFUSE_REQUIRE (names
/// separated by commas, or "all") promises it: then the test fails, so that a broken machine can't look like success.
/// </summary>
public static class Requires
{
    /// <summary>Name of the environment variable that turns skips into failures.</summary>
    public const string Variable = "NBDFUSE_REQUIRE";

    /// <summary>Whether long and violent runs are asked for, by NBDFUSE_SOAK=1.</summary>
    public static bool IsSoak => Environment.GetEnvironmentVariable("NBDFUSE_SOAK") == "1";

    /// <summary>Skips a test that is for such runs only, whatever <see cref="Variable"/> says.</summary>
    /// <param name="what">What the test does, after "NBDFUSE_SOAK=1".</param>
    public static void Soak(string what) => Assert.SkipUnless(IsSoak, $"SKIPPED: NBDFUSE_SOAK=1 {what}");

    /// <summary>Needs a program on PATH (or in the sbin directories, that an unprivileged PATH leaves out).</summary>
    /// <param name="name">The program's file name.</param>
    /// <returns>Its full path.</returns>
    public static string Command(string name)
    {
        string? path = FindCommand(name);
        if (path is null)
        {
            Missing(name, $"there is no command '{name}' on this machine");
        }

        return path!;
    }

    /// <summary>Needs a program that ends with exit code 0 when it is run with these arguments.</summary>
    /// <param name="name">The program's file name.</param>
    /// <param name="arguments">Arguments of the trial, as "--version".</param>
    /// <returns>Its full path.</returns>
    public static string Tool(string name, params string[] arguments)
    {
        string path = Command(name);
        ToolResult result = TestKit.Tool.Run(path, arguments);
        if (result.ExitCode != 0)
        {
            Missing(name, $"'{result.CommandLine}' ended with {result.ExitCode}: {result.Error.Trim()}");
        }

        return path;
    }

    /// <summary>Needs a usable /dev/fuse.</summary>
    public static void Fuse()
    {
        string? problem = OpenProblem("/dev/fuse");
        if (problem is not null)
        {
            Missing("fuse", problem);
        }
    }

    /// <summary>Needs the rights of root.</summary>
    public static void Root()
    {
        if (!Environment.IsPrivilegedProcess)
        {
            Missing("root", "the test does not run as root");
        }
    }

    /// <summary>Needs loop devices, and the rights to use them.</summary>
    public static void Loop()
    {
        if (!Environment.IsPrivilegedProcess)
        {
            Missing("loop", "loop devices need root");
        }

        string? problem = OpenProblem("/dev/loop-control");
        if (problem is not null)
        {
            Missing("loop", problem);
        }
    }

    /// <summary>Skips or fails, by what <see cref="Variable"/> says about the name.</summary>
    /// <param name="name">Name of the missing piece, as in <see cref="Variable"/>.</param>
    /// <param name="reason">Why it counts as missing.</param>
    public static void Missing(string name, string reason)
    {
        if (IsPromised(name))
        {
            Assert.Fail($"{Variable} promises '{name}', but {reason}.");
        }

        Assert.Skip($"SKIPPED, needs '{name}': {reason}. ({Variable}={name} makes this a failure.)");
    }

    /// <summary>Finds a program without judging.</summary>
    /// <param name="name">The program's file name.</param>
    /// <returns>Its full path, or null.</returns>
    public static string? FindCommand(string name)
    {
        string path = Environment.GetEnvironmentVariable("PATH") ?? string.Empty;
        foreach (string directory in path.Split(':').Concat(["/usr/sbin", "/sbin", "/usr/local/sbin"]))
        {
            string candidate = Path.Combine(directory.Length == 0 ? "." : directory, name);
            if (!OperatingSystem.IsWindows() && File.Exists(candidate) && (File.GetUnixFileMode(candidate) & (UnixFileMode)0b001_001_001) != 0)
            {
                return Path.GetFullPath(candidate);
            }
        }

        return null;
    }

    private static bool IsPromised(string name)
    {
        string[] promised = (Environment.GetEnvironmentVariable(Variable) ?? string.Empty)
            .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return promised.Contains("all") || promised.Contains(name);
    }

    private static string? OpenProblem(string device)
    {
        try
        {
            using var handle = File.OpenHandle(device, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
            return null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return $"{device} can't be opened: {error.Message}";
        }
    }
}
