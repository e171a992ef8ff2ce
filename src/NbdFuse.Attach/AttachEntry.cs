using System.Globalization;
using System.Text.Json;
using NbdFuse.Native;

namespace NbdFuse.Attach;

/// <summary>A daemon's own directory.</summary>
/// <param name="Directory">Its path.</param>
public sealed record AttachEntry(string Directory)
{
    private const long MaximumStateBytes = 64 * 1024;

    /// <summary>Where the file is mounted, until the loop device holds it.</summary>
    public string MountPoint => Path.Combine(Directory, "mnt");

    /// <summary>The control socket.</summary>
    public string SocketPath => Path.Combine(Directory, "control");

    /// <summary>The log of a daemon in the background.</summary>
    public string LogPath => Path.Combine(Directory, "log");

    /// <summary>Socket of the server with which a daemon rehearses. No longer than that of the control socket: paths of sockets are short.</summary>
    public string RehearsalPath => Path.Combine(Directory, "try");

    /// <summary>Name that the loop device carries.</summary>
    public string LoopName => $"nbdfuse:{Path.GetFileName(Directory)}";

    private string StatePath => Path.Combine(Directory, "state.json");

    /// <summary>Writes the state file, at once as a whole.</summary>
    /// <param name="state">The state.</param>
    public void Write(AttachState state)
    {
        string temporary = StatePath + ".new";
        File.WriteAllBytes(temporary, JsonSerializer.SerializeToUtf8Bytes(state, AttachJson.Default.AttachState));
        File.Move(temporary, StatePath, overwrite: true);
    }

    /// <summary>Reads the state file.</summary>
    /// <returns>Null when there is none, or when it makes no sense.</returns>
    public AttachState? Read()
    {
        try
        {
            using FileStream file = File.OpenRead(StatePath);
            return file.Length > MaximumStateBytes ? null : JsonSerializer.Deserialize(file, AttachJson.Default.AttachState);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    /// <summary>Whether the daemon of a state is still the process with its id.</summary>
    /// <param name="state">The state.</param>
    public static bool IsAlive(AttachState state) => state.Pid > 0 && ProcessStart(state.Pid) == state.ProcessStart;

    /// <summary>When a process started, in clock ticks after the boot (field 22 of proc_pid_stat(5)).</summary>
    /// <param name="pid">The process.</param>
    /// <returns>-1 when there is no such process, or only its zombie.</returns>
    public static long ProcessStart(int pid)
    {
        try
        {
            string stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat"));

            // The name in parentheses may hold anything.
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return fields[0] is "Z" or "X" ? -1 : long.Parse(fields[19], CultureInfo.InvariantCulture);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return -1;
        }
    }

    /// <summary>Keeps the log of a daemon that ends badly, in place of the one that was kept before: last.log beside the entries.</summary>
    public void KeepLog()
    {
        if (File.Exists(LogPath))
        {
            File.Move(LogPath, Path.Combine(Path.GetDirectoryName(Directory)!, "last.log"), overwrite: true);
        }
    }

    /// <summary>Removes the directory with all that belongs there, and a dead mount that may still lie in it.</summary>
    public void Remove()
    {
        // Mounted only when the daemon died between mounting and hiding.
        Posix.Umount2(MountPoint, Posix.UnmountDetach | Posix.UnmountNoFollow);
        Posix.Rmdir(MountPoint);
        foreach (string path in new[] { SocketPath, StatePath, StatePath + ".new", LogPath, LogPath + ".old", RehearsalPath })
        {
            Posix.Unlink(path);
        }

        Posix.Rmdir(Directory);
    }
}
