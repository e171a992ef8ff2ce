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

    /// <summary>True when a process has a file as its standard input and is blocked in a system call.</summary>
    /// <param name="id">Process id.</param>
    /// <param name="path">The file.</param>
    public static bool IsBlockedOn(int id, string path)
    {
        try
        {
            return new FileInfo($"/proc/{id}/fd/0").LinkTarget == path
                && !File.ReadAllText($"/proc/{id}/syscall").StartsWith("running", StringComparison.Ordinal);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
