namespace NbdFuse.Cli;

/// <summary>How this program starts itself once more.</summary>
internal static class OwnProgram
{
    /// <summary>Program and first arguments.</summary>
    public static string[] Argv
    {
        get
        {
            string path = Environment.ProcessPath ?? throw new IOException("cannot find out which program this is: is /proc mounted?");

            // "dotnet nbdfuse.dll" and a test host are no program of ours: the one beside our assembly is.
            return Path.GetFileName(path) == "dotnet" ? [path, Path.Combine(AppContext.BaseDirectory, "nbdfuse.dll")] : [path];
        }
    }
}
