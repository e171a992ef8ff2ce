namespace NbdFuse.TestKit;

/// <summary>Where the command under test lies.</summary>
public static class NbdfuseBinary
{
    /// <summary>Names of the environment variables that name the program, the first that is set wins.</summary>
    private static readonly string[] Variables = ["NBDFUSE_BIN", "NBDFUSE"];

    /// <summary>The program: what the environment names, else the published one, else the one that was built for these tests.</summary>
    public static string FullPath { get; } = Find();

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
