using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Many devices, one after another and at once, and processes killed at random moments: nothing may be left.</summary>
public sealed class AttachSoakTests
{
    private const int SignalKill = 9;

    [Fact]
    public async Task Devices_whose_processes_are_killed_at_random_moments_leave_nothing_behind()
    {
        Requires.Fuse();
        Requires.Loop();
        // It finds a forced end that does not come, in some of its runs: see docs/STATUS.md.
        Requires.Soak("kills processes at random moments, for a long time.");
        const int rounds = 200;
        int seed = int.TryParse(Environment.GetEnvironmentVariable("NBDFUSE_TEST_SEED"), out int given) ? given : Environment.TickCount;
        TestContext.Current.TestOutputHelper?.WriteLine($"NBDFUSE_TEST_SEED={seed}");
        var random = new Random(seed);
        await using RealServer server = await RealServers.Embedded(new RealServerOptions { Size = 4 << 20 });
        using var directory = new TempDirectory();
        HashSet<string> names = [];
        try
        {
            for (int round = 0; round < rounds; round++)
            {
                await using BackgroundTool attach = AttachedDevice.Launch(directory, "attach", server.Uri);
                if (round % 3 != 0)
                {
                    // A moment is what the test is about: which one does not matter, every one must do.
                    await Task.Delay(random.Next(1200));
                    names.UnionWith(Entries(directory).Select(entry => $"nbdfuse:{Path.GetFileName(entry)}"));
                    KillOne(random, directory, attach.Id);
                }

                await Deadline.Within(attach.WaitForExitAsync(CancellationToken.None), "attach to end");
                if (round % 3 == 0)
                {
                    Assert.True(attach.ExitCode == 0, attach.Error);
                }

                await DetachAllAsync(directory);
            }
        }
        finally
        {
            await DetachAllAsync(directory);
        }

        await AssertNothingIsLeftAsync(directory);

        // Also of those whose entry is gone: nobody would find such a device any more.
        Assert.All(names, name => Assert.Null(NbdFuse.Attach.LoopDevice.Find(name)));
    }

    [Fact]
    public async Task Devices_attached_and_detached_at_once_do_not_get_in_each_others_way()
    {
        Requires.Fuse();
        Requires.Loop();
        await using RealServer server = await RealServers.Embedded(new RealServerOptions { Size = 4 << 20 });
        using var directory = new TempDirectory();
        try
        {
            ToolResult[] attached = await Task.WhenAll(
                Enumerable.Range(0, 6).Select(_ => AttachedDevice.RunAsync(directory, "attach", server.Uri)));
            Assert.All(attached, result => result.EnsureSuccess());
            string[] devices = [.. attached.Select(result => result.Output.Trim())];
            Assert.Equal(devices.Length, devices.Distinct().Count());
            ToolResult status = (await AttachedDevice.RunAsync(directory, "status")).EnsureSuccess();
            Assert.All(devices, device => Assert.Contains(device + " ", status.Output, StringComparison.Ordinal));
            ToolResult[] detached = await Task.WhenAll(devices.Select(device => AttachedDevice.RunAsync(directory, "detach", device)));
            Assert.All(detached, result => result.EnsureSuccess());
        }
        finally
        {
            await DetachAllAsync(directory);
        }

        await AssertNothingIsLeftAsync(directory);
    }

    private static void KillOne(Random random, TempDirectory directory, int attach)
    {
        List<int> ours = Processes(directory);

        // The command, its daemon, or what that has started.
        int victim = ours.Count > 0 ? ours[random.Next(ours.Count)] : attach;
        Posix.Kill(victim, SignalKill);
    }

    private static async Task DetachAllAsync(TempDirectory directory)
    {
        // A daemon whose command was killed may still be about to take its device down by itself.
        foreach (string entry in Entries(directory))
        {
            NbdFuse.Attach.AttachState? state = new NbdFuse.Attach.AttachEntry(entry).Read();
            string? device = state?.Device is { Length: > 0 } known ? known : NbdFuse.Attach.LoopDevice.Find($"nbdfuse:{Path.GetFileName(entry)}");
            if (device is not null)
            {
                ToolResult result = await DetachByForceAsync(directory, entry, device);
                Assert.True(
                    result.ExitCode == 0 || result.Error.Contains("was not attached", StringComparison.Ordinal), result.ToString());
            }
        }
    }

    // Longer than the patience of the command with a daemon that does not answer, which it kills then: that is slow, and an end.
    private static async Task<ToolResult> DetachByForceAsync(TempDirectory directory, string entry, string device)
    {
        await using BackgroundTool tool = AttachedDevice.Launch(directory, "detach", "--force", device);
        Task<int> end = tool.WaitForExitAsync(CancellationToken.None);
        if (await Task.WhenAny(end, Task.Delay(TimeSpan.FromSeconds(20))) != end)
        {
            TestContext.Current.TestOutputHelper?.WriteLine($"{device} takes long:\n{Describe(directory, entry)}");
        }

        await end.WaitAsync(TimeSpan.FromSeconds(90));
        return new ToolResult(tool.CommandLine, tool.ExitCode, tool.Output, tool.Error);
    }

    // What everybody waits for. Their command lines are not read: that may hang with them.
    private static string Describe(TempDirectory directory, string entry)
    {
        string log = Path.Combine(entry, "log");
        IEnumerable<string> threads = Processes(directory).SelectMany(
            pid => Directory.GetDirectories($"/proc/{pid}/task").Select(
                task => $"{pid} {Read(task, "comm")}: {Read(task, "wchan")}, {Read(task, "syscall")}"));
        return string.Join('\n', threads.Append(File.Exists(log) ? File.ReadAllText(log) : "no log"));

        static string Read(string task, string name)
        {
            try
            {
                return File.ReadAllText(Path.Combine(task, name)).Trim();
            }
            catch (IOException e)
            {
                return e.Message;
            }
        }
    }

    private static async Task AssertNothingIsLeftAsync(TempDirectory directory)
    {
        await Deadline.Until(() => Processes(directory).Count == 0, "the processes to end");
        await DetachAllAsync(directory);

        // Entries of daemons that never got a device are removed by the next attach.
        await using RealServer server = await RealServers.Embedded(new RealServerOptions { Size = 1 << 20 });
        ToolResult last = (await AttachedDevice.RunAsync(directory, "attach", server.Uri)).EnsureSuccess();
        (await AttachedDevice.RunAsync(directory, "detach", last.Output.Trim())).EnsureSuccess();
        string[] fresh = [.. Entries(directory).Where(entry => File.Exists(Path.Combine(entry, "state.json")))];
        Assert.Empty(fresh);
        Assert.DoesNotContain(directory["run"], await File.ReadAllTextAsync("/proc/self/mountinfo"));
        Assert.All(Entries(directory), entry => Assert.Null(NbdFuse.Attach.LoopDevice.Find($"nbdfuse:{Path.GetFileName(entry)}")));
    }

    private static string[] Entries(TempDirectory directory) =>
        Directory.Exists(directory["run"]) ? Directory.GetDirectories(directory["run"]) : [];

    // By the variable that all of them inherit: nothing of other tests is touched.
    private static List<int> Processes(TempDirectory directory)
    {
        List<int> result = [];
        foreach (string path in Directory.GetDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(path), out int pid))
            {
                continue;
            }

            try
            {
                if (File.ReadAllText(Path.Combine(path, "environ")).Contains($"NBDFUSE_RUNTIME_DIR={directory["run"]}\0", StringComparison.Ordinal))
                {
                    result.Add(pid);
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // It has just ended.
                continue;
            }
        }

        return result;
    }
}
