using System.Globalization;

namespace NbdFuse.Cli;

/// <summary>The file of -P: the process id in decimal, nothing else, which tells scripts that the mounted file is usable.</summary>
internal static class PidFile
{
    /// <summary>Fails early when the file could never be written.</summary>
    /// <param name="path">The file, or null for none.</param>
    /// <exception cref="IOException">Its directory does not exist.</exception>
    public static void Check(string? path)
    {
        if (path is null)
        {
            return;
        }

        string? directory = Path.GetDirectoryName(Path.GetFullPath(path));
        if (directory is not null && !Directory.Exists(directory))
        {
            throw new IOException($"pidfile {path}: there is no directory {directory}; create it with 'mkdir -p {directory}'");
        }
    }

    /// <summary>Writes the file, in place: a script may have created it, and watch it.</summary>
    /// <param name="path">The file, or null for none.</param>
    /// <exception cref="IOException">It could not be written.</exception>
    public static void Write(string? path)
    {
        if (path is null)
        {
            return;
        }

        try
        {
            // As libnbd's nbdfuse does: no line feed.
            File.WriteAllText(path, Environment.ProcessId.ToString(CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"pidfile {path}: {e.Message}", e);
        }
    }
}
