using NbdFuse.Native;

namespace NbdFuse.MountTests;

/// <summary>Processes that are not children of the test.</summary>
internal static class OtherProcess
{
    /// <summary>True when a process has ended, whether or not somebody has collected its exit code.</summary>
    /// <param name="id">Process id.</param>
    public static bool IsGone(int id)
    {
        if (Posix.Kill(id, 0) == -Errno.ESRCH)
        {
            return true;
        }

        try
        {
            // The state follows the name, which stands in parentheses and may hold some itself.
            string stat = File.ReadAllText($"/proc/{id}/stat");
            return stat[stat.LastIndexOf(')') + 2] == 'Z';
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return true;
        }
    }

    /// <summary>Finds processes by their command lines.</summary>
    /// <param name="words">All of them must be there, each as a word.</param>
    public static IReadOnlyList<int> Find(params string[] words)
    {
        List<int> found = [];
        foreach (string directory in Directory.GetDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(directory), out int id) && CommandLine(id) is { } line && words.All(line.Contains))
            {
                found.Add(id);
            }
        }

        return found;
    }

    private static string[]? CommandLine(int id)
    {
        try
        {
            return File.ReadAllText($"/proc/{id}/cmdline").Split('\0');
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
