using NbdFuse.Native;
using NbdFuse.TestKit;

namespace NbdFuse.MountTests;

/// <summary>A control group with a limit of memory, of whichever version this machine has. Gone with this object.</summary>
internal sealed class MemoryCgroup : IDisposable
{
    private const string Version1 = "/sys/fs/cgroup/memory";
    private const string Version2 = "/sys/fs/cgroup";
    private readonly string _path;

    private MemoryCgroup(string path) => _path = path;

    /// <summary>File into which a process writes its id to join.</summary>
    public string Processes => Path.Combine(_path, "cgroup.procs");

    /// <summary>Makes a group, or skips the test.</summary>
    /// <param name="bytes">Its limit.</param>
    public static MemoryCgroup Create(long bytes)
    {
        bool first = File.Exists(Path.Combine(Version1, "memory.limit_in_bytes"));
        string controllers = Path.Combine(Version2, "cgroup.subtree_control");
        if (!first && !(File.Exists(controllers) && File.ReadAllText(controllers).Contains("memory", StringComparison.Ordinal)))
        {
            Requires.Missing("memory-cgroup", "there is no memory controller to make groups in");
        }

        string path = Path.Combine(first ? Version1 : Version2, $"nbdfuse-test-{Environment.ProcessId}-{Guid.NewGuid():n}");
        try
        {
            Directory.CreateDirectory(path);
            File.WriteAllText(Path.Combine(path, first ? "memory.limit_in_bytes" : "memory.max"), $"{bytes}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Posix.Rmdir(path);
            Requires.Missing("memory-cgroup", $"no group can be made: {e.Message}");
        }

        return new MemoryCgroup(path);
    }

    /// <inheritdoc/>
    public void Dispose() => Posix.Rmdir(_path);
}
