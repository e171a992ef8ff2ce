using NbdFuse.TestKit;

namespace NbdFuse.MountTests;

/// <summary>The command under test, run as users run it: as a program of its own.</summary>
internal static class NbdfuseProgram
{
    /// <summary>Name of the environment variables that name the program, the first that is set wins.</summary>
    private static readonly string[] Variables = ["NBDFUSE_BIN", "NBDFUSE"];

    /// <summary>The program: what the environment names, else the published one, else the one that was built for these tests.</summary>
    public static string FullPath { get; } = Find();

    /// <summary>Runs the command to its end.</summary>
    /// <param name="args">Its arguments.</param>
    public static Task<ToolResult> RunAsync(params string[] args) => Tool.RunAsync(FullPath, args);

    /// <summary>
    /// Puts the program where another user can run it: a checkout may lie in a directory that is closed to others.
    /// </summary>
    /// <param name="directory">A directory that is open to everybody.</param>
    /// <returns>Path of the program.</returns>
    public static string CopyTo(TempDirectory directory)
    {
        if (File.Exists(Path.ChangeExtension(FullPath, null) + ".dll"))
        {
            // Not a single file: it runs only where it is.
            return FullPath;
        }

        string copy = directory["nbdfuse"];
        if (!File.Exists(copy))
        {
            File.Copy(FullPath, copy);
        }

        return copy;
    }

    private static string Find()
    {
        foreach (string variable in Variables)
        {
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } named)
            {
                return File.Exists(named) ? Path.GetFullPath(named) : throw new FileNotFoundException($"{variable} names no program.", named);
            }
        }

        for (string? directory = AppContext.BaseDirectory; directory is not null; directory = Path.GetDirectoryName(directory))
        {
            string published = Path.Combine(directory, "artifacts", "publish", "nbdfuse");
            if (File.Exists(published))
            {
                return published;
            }
        }

        return Path.Combine(AppContext.BaseDirectory, "nbdfuse");
    }
}
