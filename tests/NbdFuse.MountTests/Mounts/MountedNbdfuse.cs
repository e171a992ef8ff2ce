using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>
/// A running nbdfuse with its mount. Neither outlives this object: what the test did not end is taken out of the tree, killed
/// and, should a test fail, reported with all that the program said.
/// </summary>
internal sealed class MountedNbdfuse : IAsyncDisposable
{
    /// <summary>User and group of the tests without privileges.</summary>
    public const int UnprivilegedId = 65534;

    private const int SignalKill = 9;

    // Longer than any test needs its mount. A system call on a mount that hangs can't be cancelled, but it fails when the
    // program is gone: then the test fails, instead of hanging with it.
    private static readonly TimeSpan LongestLife = TimeSpan.FromSeconds(120);

    // Null when it belongs to another mount.
    private readonly TempDirectory? _directory;
    private readonly BackgroundTool _tool;
    private readonly Timer _watchdog;
    private bool _isReady;

    private MountedNbdfuse(TempDirectory? directory, BackgroundTool tool, string mountPoint, string filePath, string pidFile)
    {
        _directory = directory;
        Directory = directory!;
        _tool = tool;
        MountPoint = mountPoint;
        FilePath = filePath;
        PidFile = pidFile;
        _watchdog = new Timer(_ => Posix.Kill(tool.Id, SignalKill), null, LongestLife, Timeout.InfiniteTimeSpan);
    }

    /// <summary>What is mounted over.</summary>
    public string MountPoint { get; }

    /// <summary>The file that is the export.</summary>
    public string FilePath { get; }

    /// <summary>The file of -P.</summary>
    public string PidFile { get; }

    /// <summary>A directory for the test's own files, beside the mountpoint.</summary>
    public TempDirectory Directory { get; private init; }

    /// <summary>What the program has written to stderr.</summary>
    public string Error => _tool.Error;

    /// <summary>Process id.</summary>
    public int Id => _tool.Id;

    /// <summary>True when the program has ended.</summary>
    public bool HasExited => _tool.HasExited;

    /// <summary>Starts with a URI, without options, on a directory, and waits until the file is usable.</summary>
    /// <param name="uri">The export.</param>
    /// <param name="options">Options, before the mountpoint.</param>
    public static Task<MountedNbdfuse> StartAsync(string uri, params string[] options) =>
        StartAsync(new MountStart { Mode = [uri], Options = options });

    /// <summary>Starts, and waits until the file is usable.</summary>
    /// <param name="start">How.</param>
    public static async Task<MountedNbdfuse> StartAsync(MountStart start)
    {
        MountedNbdfuse mount = Launch(start);
        try
        {
            await mount.WaitForReadyAsync();
            return mount;
        }
        catch
        {
            await mount.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts, and does not wait.</summary>
    /// <param name="start">How.</param>
    public static MountedNbdfuse Launch(MountStart start)
    {
        Requires.Fuse();
        var directory = new TempDirectory();
        string argument = Prepare(start, directory);
        string pidFile = directory["pid"];
        return new MountedNbdfuse(
            directory,
            Run(start, directory, pidFile, argument),
            start.Shape == MountShape.NameInDirectory ? Path.GetDirectoryName(argument)! : argument,
            start.Shape == MountShape.Directory ? Path.Combine(argument, "nbd") : argument,
            pidFile);
    }

    /// <summary>Starts once more on the mountpoint of a mount that has ended, and waits until the file is usable.</summary>
    /// <param name="argument">The mountpoint as it is given to the command.</param>
    /// <param name="uri">The export.</param>
    public Task<MountedNbdfuse> StartAgainAtAsync(string argument, string uri) =>
        StartAgainAtAsync(argument, new MountStart { Mode = [uri] });

    /// <summary>Starts once more on the mountpoint of a mount that has ended, and waits until the file is usable.</summary>
    /// <param name="argument">The mountpoint as it is given to the command.</param>
    /// <param name="start">How; the shape does not matter.</param>
    public async Task<MountedNbdfuse> StartAgainAtAsync(string argument, MountStart start)
    {
        // The dead mount can't even be looked at: where the file will be is known from before.
        string pidFile = Directory[$"pid{Guid.NewGuid():N}"];
        var again = new MountedNbdfuse(
            null, Run(start, Directory, pidFile, argument), MountPoint, FilePath, pidFile)
        {
            Directory = Directory,
        };
        try
        {
            await again.WaitForReadyAsync();
            return again;
        }
        catch
        {
            await again.DisposeAsync();
            throw;
        }
    }

    /// <summary>Waits until the file is usable, as scripts do: for the pidfile.</summary>
    public async Task WaitForReadyAsync()
    {
        await Deadline.Until(
            () => _tool.HasExited || (File.Exists(PidFile) && new FileInfo(PidFile).Length > 0), $"'{_tool.CommandLine}' to be ready");
        if (_tool.HasExited)
        {
            Assert.Fail($"'{_tool.CommandLine}' ended with {await WaitForExitAsync()} instead of mounting:\n{_tool.Output}{_tool.Error}");
        }

        _isReady = true;
    }

    /// <summary>Lets the mount live longer than tests need as a rule.</summary>
    /// <param name="more">From now on.</param>
    public void Extend(TimeSpan more) => _watchdog.Change(more, Timeout.InfiniteTimeSpan);

    /// <summary>Opens the file.</summary>
    /// <param name="flags">Flags of open(2).</param>
    public MountedFile Open(OpenFlags flags = OpenFlags.ReadWrite) => new(FilePath, flags);

    /// <summary>Unmounts as a user does, and waits for the end.</summary>
    /// <returns>Exit code of nbdfuse.</returns>
    public async Task<int> UnmountAsync()
    {
        // A tool that another test starts at this moment holds copies of our descriptors until its exec: the file is busy for
        // that long, although everybody has closed it.
        ToolResult? result = null;
        await Deadline.Until(
            () =>
            {
                result = Tool.Run("fusermount3", "-u", MountPoint);
                return !result.Error.Contains("busy", StringComparison.Ordinal);
            },
            $"{MountPoint} not to be busy");
        result!.EnsureSuccess();
        return await WaitForExitAsync();
    }

    /// <summary>Unmounts, and fails unless the program ended well.</summary>
    public async Task UnmountCleanlyAsync()
    {
        int code = await UnmountAsync();
        Assert.True(code == 0, $"nbdfuse ended with {code} after it was unmounted:\n{Error}");
    }

    /// <summary>Sends a signal.</summary>
    /// <param name="name">Name without SIG.</param>
    public void Signal(string name) => _tool.Signal(name);

    /// <summary>Sends a signal, and waits for the end.</summary>
    /// <param name="name">Name without SIG.</param>
    /// <returns>Exit code; 128 + signal when the signal killed it.</returns>
    public Task<int> EndBySignalAsync(string name)
    {
        _tool.Signal(name);
        return WaitForExitAsync();
    }

    /// <summary>Waits for the end.</summary>
    /// <returns>Exit code; 128 + signal when a signal ended it.</returns>
    public async Task<int> WaitForExitAsync() =>
        await Deadline.Within(_tool.WaitForExitAsync(CancellationToken.None), $"'{_tool.CommandLine}' to end");

    /// <summary>True while something is mounted at a path.</summary>
    /// <param name="path">Absolute path.</param>
    public static bool IsMounted(string path) =>
        File.ReadLines("/proc/self/mountinfo").Any(line => line.Split(' ')[4] == path);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _watchdog.DisposeAsync();

        // First out of the tree: then nothing can hang in the file when the process has gone.
        DetachMounts();
        if (!_tool.HasExited && _isReady)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(5));
            await Task.WhenAny(_tool.WaitForExitAsync(patience.Token), Task.Delay(Timeout.Infinite, patience.Token));
        }

        // Kills it, should it still run.
        await _tool.DisposeAsync();
        DetachMounts();
        TestContext.Current.TestOutputHelper?.WriteLine($"--- {_tool.CommandLine}\n{_tool.Output}{_tool.Error}");
        _directory?.Dispose();
    }

    private static BackgroundTool Run(MountStart start, TempDirectory directory, string pidFile, string argument)
    {
        string program = start.Unprivileged ? NbdfuseProgram.CopyTo(directory) : NbdfuseProgram.FullPath;
        string[] words =
        [
            .. start.DefaultSignal is { } signal ? new[] { "env", $"--default-signal={signal}" } : [],
            .. start.Unprivileged ? Unprivileged : [],
            .. start.Prefix,
            program, "-P", pidFile, .. start.Options, argument, .. start.Mode,
        ];
        return new BackgroundTool(words[0], words[1..], new Dictionary<string, string?> { ["HOME"] = directory.Path });
    }

    /// <summary>Runs what follows as a user without privileges.</summary>
    public static string[] Unprivileged =>
        ["setpriv", $"--reuid={UnprivilegedId}", $"--regid={UnprivilegedId}", "--clear-groups", "--"];

    private static string Prepare(MountStart start, TempDirectory directory)
    {
        string argument;
        switch (start.Shape)
        {
            case MountShape.File:
                argument = directory.CreateFile("disk", "what lies under the mount"u8);
                break;
            case MountShape.NameInDirectory:
                System.IO.Directory.CreateDirectory(directory["mnt"]);
                argument = Path.Combine(directory["mnt"], "disk.img");
                break;
            default:
                argument = System.IO.Directory.CreateDirectory(directory["mnt"]).FullName;
                break;
        }

        if (start.Unprivileged)
        {
            Tool.Run("chown", "-R", $"{UnprivilegedId}:{UnprivilegedId}", directory.Path).EnsureSuccess();
        }

        return argument;
    }

    private void DetachMounts()
    {
        // Mounts stack; a mount of another namespace is not here.
        for (int count = 0; count < 8 && IsMounted(MountPoint); count++)
        {
            int result = Posix.Umount2(MountPoint, Posix.UnmountDetach | Posix.UnmountNoFollow);
            Assert.True(result >= 0, $"cannot unmount {MountPoint}: errno {-result}");
        }
    }
}
