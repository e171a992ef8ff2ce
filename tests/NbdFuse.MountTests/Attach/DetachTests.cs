using System.Text.Json;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>How attached devices end.</summary>
public sealed class DetachTests
{
    [Fact]
    public async Task Mounted_device_is_not_detached_and_the_mount_is_named_until_the_mountpoint_itself_is_given()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "32M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        string root = Directory.CreateDirectory(device.Directory["fs"]).FullName;
        (await Tool.RunAsync("mkfs.ext4", "-q", device.Path)).EnsureSuccess();
        (await Tool.RunAsync("mount", device.Path, root)).EnsureSuccess();
        int pid = device.Pid;

        ToolResult refused = await device.RunAsync("detach", device.Path);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains($"{device.Path} is mounted at {root}", refused.Error, StringComparison.Ordinal);
        Assert.Equal("online", device.Status().GetProperty("state").GetString());

        // Nor by a signal.
        Posix.Kill(pid, 15);
        string log = Path.Combine(device.EntryDirectory, "log");
        await Deadline.Until(() => File.ReadAllText(log).Contains("signal SIGTERM is ignored", StringComparison.Ordinal), "the signal");
        Assert.Contains(root, await File.ReadAllTextAsync(log), StringComparison.Ordinal);
        await File.WriteAllTextAsync(Path.Combine(root, "alive"), "still");

        (await device.RunAsync("detach", root)).EnsureSuccess();
        Assert.False(MountedNbdfuse.IsMounted(root));
        device.AssertGone(pid);
    }

    [Fact]
    public async Task Open_device_is_not_detached_and_the_process_is_named()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        using (new MountedFile(device.Path, OpenFlags.ReadOnly))
        {
            ToolResult refused = await device.RunAsync("detach", device.Path);
            Assert.Equal(1, refused.ExitCode);
            Assert.Contains($"process {Environment.ProcessId} ", refused.Error, StringComparison.Ordinal);
        }

        await device.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Force_ends_a_device_whose_server_hangs_under_a_reader()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        int pid = device.Pid;
        string serverPid = (await File.ReadAllTextAsync(server.Directory["server.pid"])).Trim();
        (await Tool.RunAsync("kill", "-STOP", serverPid)).EnsureSuccess();
        try
        {
            using var file = new MountedFile(device.Path, OpenFlags.ReadOnly | OpenFlags.Direct);
            using var buffer = NativeBuffer.Allocate(4096);
            Task<int> reading = Task.Factory.StartNew(() => file.TryRead(4 << 20, buffer.Span), TaskCreationOptions.LongRunning);
            await Deadline.Until(() => device.Status().GetProperty("in-flight").GetInt32() > 0, "the read to be in flight");

            ToolResult forced = (await device.RunAsync("detach", "--force", device.Path)).EnsureSuccess();
            Assert.Contains("open in process", forced.Error, StringComparison.Ordinal);
            Assert.Equal(-Errno.EIO, await Deadline.Within(reading, "the read to end"));
            Assert.True(OtherProcess.IsGone(pid));
        }
        finally
        {
            (await Tool.RunAsync("kill", "-CONT", serverPid)).EnsureSuccess();
        }

        await Deadline.Until(() => NbdFuse.Attach.LoopDevice.Status(device.Path) is null, "the device to be free");
        device.AssertGone(pid);
    }

    [Fact]
    public async Task Killed_daemon_leaves_a_stale_entry_that_detach_cleans_up()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        int pid = await device.KillDaemonAsync();

        JsonElement status = device.Status();
        Assert.Equal("stale", status.GetProperty("state").GetString());
        Assert.Contains("stale", (await device.RunAsync("status")).EnsureSuccess().Output, StringComparison.Ordinal);
        (await device.RunAsync("detach", device.Path)).EnsureSuccess();
        device.AssertGone(pid);
        Assert.Equal("nothing is attached\n", (await device.RunAsync("status")).EnsureSuccess().Output);
    }

    [Fact]
    public async Task Device_that_somebody_else_detaches_ends_its_daemon()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        int pid = device.Pid;
        (await Tool.RunAsync("losetup", "--detach", device.Path)).EnsureSuccess();
        await Deadline.Until(() => OtherProcess.IsGone(pid), "the daemon to end");
        device.AssertGone(pid);
    }

    [Fact]
    public async Task Device_whose_server_died_shows_it_fails_and_can_be_detached()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri, "--reconnect-timeout=0");
        int pid = device.Pid;
        server.Kill();
        await Deadline.Until(() => device.Status().GetProperty("state").GetString() == "failed", "the loss to be noticed");
        using (var file = new MountedFile(device.Path, OpenFlags.ReadOnly | OpenFlags.Direct))
        {
            using var buffer = NativeBuffer.Allocate(4096);
            Assert.Equal(-Errno.EIO, file.TryRead(4 << 20, buffer.Span));
        }

        // The flush fails, and what was acknowledged before may be lost: only --force may pass over that.
        ToolResult refused = await device.RunAsync("detach", device.Path);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("--force", refused.Error, StringComparison.Ordinal);
        (await device.RunAsync("detach", "--force", device.Path)).EnsureSuccess();
        device.AssertGone(pid);
    }

    [Fact]
    public async Task Patient_detach_of_a_hanging_server_ends_when_another_one_forces_it()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        int pid = device.Pid;
        (await Tool.RunAsync("dd", "if=/dev/zero", $"of={device.Path}", "bs=4k", "count=1", "oflag=direct", "status=none")).EnsureSuccess();
        string serverPid = (await File.ReadAllTextAsync(server.Directory["server.pid"])).Trim();
        (await Tool.RunAsync("kill", "-STOP", serverPid)).EnsureSuccess();
        try
        {
            await using BackgroundTool patient = AttachedDevice.Launch(device.Directory, "detach", device.Path);
            await Deadline.Until(() => device.Status().GetProperty("in-flight").GetInt32() > 0, "the last flush to be in flight");
            Assert.Equal("detaching", device.Status().GetProperty("state").GetString());
            (await device.RunAsync("detach", "--force", device.Path)).EnsureSuccess();
            int code = await Deadline.Within(patient.WaitForExitAsync(CancellationToken.None), "the patient one to end");
            Assert.True(code == 0 || patient.Error.Contains(device.Path, StringComparison.Ordinal), patient.Error);
        }
        finally
        {
            (await Tool.RunAsync("kill", "-CONT", serverPid)).EnsureSuccess();
        }

        device.AssertGone(pid);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Detaching_several_times_at_once_ends_well_for_somebody_and_for_nobody_badly(bool force)
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        int pid = device.Pid;
        string[] words = force ? ["detach", "--force", device.Path] : ["detach", device.Path];
        ToolResult[] results = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => device.RunAsync(words)));
        Assert.Contains(results, result => result.ExitCode == 0);
        Assert.All(
            results.Where(result => result.ExitCode != 0),
            result => Assert.Contains("was not attached by nbdfuse", result.Error, StringComparison.Ordinal));
        device.AssertGone(pid);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Mounted_device_is_taken_down_by_force_with_its_mounts(bool byMountPoint)
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "32M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        string root = Directory.CreateDirectory(device.Directory["fs"]).FullName;
        (await Tool.RunAsync("mkfs.ext4", "-q", device.Path)).EnsureSuccess();
        (await Tool.RunAsync("mount", device.Path, root)).EnsureSuccess();
        int pid = device.Pid;
        ToolResult forced = (await device.RunAsync("detach", "--force", byMountPoint ? root : device.Path)).EnsureSuccess();

        // Another process may have the device open for a moment, when it looks through all of them.
        Assert.DoesNotContain("is mounted at", forced.Error, StringComparison.Ordinal);
        Assert.False(MountedNbdfuse.IsMounted(root));
        Assert.True(OtherProcess.IsGone(pid));
        await Deadline.Until(() => NbdFuse.Attach.LoopDevice.Status(device.Path) is null, "the device to be free");
        device.AssertGone(pid);
    }

    [Fact]
    public async Task Device_that_is_not_ours_is_left_alone()
    {
        Requires.Loop();
        using var directory = new TempDirectory();
        await using LoopDevice loop = await LoopDevice.AttachAsync(directory.CreateFile("disk", 1 << 20));
        ToolResult refused = await AttachedDevice.RunAsync(directory, "detach", loop.Path);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("not attached by nbdfuse", refused.Error, StringComparison.Ordinal);
        Assert.NotNull(NbdFuse.Attach.LoopDevice.Status(loop.Path));
    }
}
