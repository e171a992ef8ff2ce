using NbdFuse.TestKit;

namespace NbdFuse.MountTests;

/// <summary>The command under test, run as users run it: as a program of its own.</summary>
internal static class NbdfuseProgram
{
    /// <summary>The program: what the environment names, else the published one, else the one that was built for these tests.</summary>
    public static string FullPath => NbdfuseBinary.FullPath;

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
}
