using System.Text.Json;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>
/// An attached device with a runtime directory of its own. In the end nothing of it is left, whatever the test did.
/// </summary>
internal sealed class AttachedDevice : IAsyncDisposable
{
    private const int SignalKill = 9;
    private readonly TempDirectory _directory;

    private AttachedDevice(TempDirectory directory, string path)
    {
        _directory = directory;
        Path = path;
    }

    /// <summary>The device.</summary>
    public string Path { get; }

    /// <summary>The runtime directory.</summary>
    public string RuntimeDirectory => _directory["run"];

    /// <summary>A directory for the test's own files.</summary>
    public TempDirectory Directory => _directory;

    /// <summary>Process id of the daemon.</summary>
    public int Pid
    {
        get
        {
            // From the state file: a whole process less than asking the command.
            using JsonDocument state = JsonDocument.Parse(File.ReadAllText(System.IO.Path.Combine(EntryDirectory, "state.json")));
            return state.RootElement.GetProperty("pid").GetInt32();
        }
    }

    /// <summary>The daemon's directory.</summary>
    public string EntryDirectory => Assert.Single(System.IO.Directory.GetDirectories(RuntimeDirectory));

    /// <summary>Attaches, in the background.</summary>
    /// <param name="uri">The export.</param>
    /// <param name="options">Options, before the URI.</param>
    public static Task<AttachedDevice> StartAsync(string uri, params string[] options) => StartAsync(uri, resends: true, options);

    /// <summary>Attaches, in the background.</summary>
    /// <param name="uri">The export.</param>
    /// <param name="resends">Whether a keeper asks the kernel to send again what a dead process had taken.</param>
    /// <param name="options">Options, before the URI.</param>
    public static async Task<AttachedDevice> StartAsync(string uri, bool resends, params string[] options)
    {
        Requires.Fuse();
        Requires.Loop();
        var directory = new TempDirectory();
        await using var tool = new BackgroundTool(
            NbdfuseProgram.FullPath,
            ["attach", .. options, uri],
            new Dictionary<string, string?> { ["NBDFUSE_RUNTIME_DIR"] = directory["run"], [KeptWorker.NoResend] = resends ? null : "1" });
        int code = await Deadline.Within(tool.WaitForExitAsync(CancellationToken.None), $"'{tool.CommandLine}' to end");
        var result = new ToolResult(tool.CommandLine, code, tool.Output, tool.Error);
        if (result.ExitCode != 0)
        {
            directory.Dispose();
        }

        result.EnsureSuccess();
        Assert.Matches("^/dev/loop[0-9]+\n$", result.Output);
        return new AttachedDevice(directory, result.Output.Trim());
    }

    /// <summary>Runs the command with a runtime directory.</summary>
    /// <param name="directory">Where the runtime directory is.</param>
    /// <param name="args">Its arguments.</param>
    public static async Task<ToolResult> RunAsync(TempDirectory directory, params string[] args)
    {
        await using var tool = Launch(directory, args);
        int code = await Deadline.Within(tool.WaitForExitAsync(CancellationToken.None), $"'{tool.CommandLine}' to end");
        return new ToolResult(tool.CommandLine, code, tool.Output, tool.Error);
    }

    /// <summary>Starts the command with a runtime directory.</summary>
    /// <param name="directory">Where the runtime directory is.</param>
    /// <param name="args">Its arguments.</param>
    public static BackgroundTool Launch(TempDirectory directory, params string[] args) =>
        new(NbdfuseProgram.FullPath, args, new Dictionary<string, string?> { ["NBDFUSE_RUNTIME_DIR"] = directory["run"] });

    /// <summary>Runs the command beside the device.</summary>
    /// <param name="args">Its arguments.</param>
    public Task<ToolResult> RunAsync(params string[] args) => RunAsync(_directory, args);

    /// <summary>Detaches, and fails unless nothing is left.</summary>
    public async Task DetachCleanlyAsync()
    {
        int pid = Pid;
        ToolResult result = await RunAsync("detach", Path);
        if (result.ExitCode != 0)
        {
            Assert.Fail($"{result}\n--- status\n{Status()}\n--- log\n{await File.ReadAllTextAsync(System.IO.Path.Combine(EntryDirectory, "log"))}");
        }

        AssertGone(pid);
    }

    /// <summary>Fails if anything of the device is left.</summary>
    /// <param name="pid">Process id that the daemon had.</param>
    public void AssertGone(int pid)
    {
        Assert.True(OtherProcess.IsGone(pid), $"process {pid} is still there");
        Assert.Empty(System.IO.Directory.GetFileSystemEntries(RuntimeDirectory));
        Assert.False(IsOurs(), $"{Path} still stands on the file");
        Assert.DoesNotContain(RuntimeDirectory, File.ReadAllText("/proc/self/mountinfo"));
    }

    /// <summary>What status --json says about the device.</summary>
    public JsonElement Status()
    {
        ToolResult result = RunAsync("status", "--json").GetAwaiter().GetResult().EnsureSuccess();
        using JsonDocument document = JsonDocument.Parse(result.Output);
        return Assert.Single(document.RootElement.GetProperty("devices").EnumerateArray()).Clone();
    }

    /// <summary>Process id of the process that serves the device for a keeper; 0 without a keeper.</summary>
    public int Worker
    {
        get
        {
            using JsonDocument state = JsonDocument.Parse(File.ReadAllText(System.IO.Path.Combine(EntryDirectory, "state.json")));
            return state.RootElement.GetProperty("worker").GetInt32();
        }
    }

    /// <summary>Kills the daemon: keeper and worker, so that nobody follows.</summary>
    /// <returns>Its process id.</returns>
    public async Task<int> KillDaemonAsync()
    {
        int worker = Worker;
        int pid = await KillKeeperAsync();
        if (worker > 0)
        {
            Posix.Kill(worker, SignalKill);
            await Deadline.Until(() => OtherProcess.IsGone(worker), "the worker to be gone");
        }

        return pid;
    }

    /// <summary>Kills the process that the state file names as the daemon, and no other.</summary>
    /// <returns>Its process id.</returns>
    public async Task<int> KillKeeperAsync()
    {
        int pid = Pid;
        Posix.Kill(pid, SignalKill);
        await Deadline.Until(() => OtherProcess.IsGone(pid), "the daemon to be gone");
        return pid;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (string mount in Mounts())
        {
            Posix.Umount2(mount, Posix.UnmountDetach);
        }

        if (System.IO.Directory.Exists(RuntimeDirectory) && System.IO.Directory.GetFileSystemEntries(RuntimeDirectory).Length > 0)
        {
            ToolResult result = await RunAsync("detach", "--force", Path);
            TestContext.Current.TestOutputHelper?.WriteLine(result.ToString());
        }

        _directory.Dispose();
    }

    private bool IsOurs() =>
        NbdFuse.Attach.LoopDevice.Status(Path)?.Name.StartsWith("nbdfuse:", StringComparison.Ordinal) == true
        && System.IO.Directory.Exists(RuntimeDirectory)
        && System.IO.Directory.GetDirectories(RuntimeDirectory).Any(
            entry => NbdFuse.Attach.LoopDevice.Status(Path)?.Name == $"nbdfuse:{System.IO.Path.GetFileName(entry)}");

    private IEnumerable<string> Mounts() =>
        [.. File.ReadLines("/proc/self/mountinfo").Select(line => line.Split(' ')[4]).Where(path => path.StartsWith(_directory.Path, StringComparison.Ordinal))];
}
