using System.Text.Json;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Attached devices whose process is killed, and followed by another one.</summary>
public sealed class AttachKeeperTests
{
    private static int Kills => Requires.IsSoak ? 20 : 5;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Fio_at_depth_32_verifies_every_block_while_workers_are_killed(bool resends)
    {
        string fio = Requires.Command("fio");
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 32 << 20 });
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri, resends, "--driver", "fuse");
        string[] before = InForce(device.Status());
        await using (BackgroundTool load = StartLoad(fio, device))
        {
            var random = new Random(11);
            for (int i = 0; i < Kills; i++)
            {
                // Which moment does not matter: every one must do.
                await Task.Delay(random.Next(50, 400));
                Assert.False(load.HasExited, $"fio ended:\n{load.Output}{load.Error}\n{Log(device)}");
                await KillWorkerAsync(device);
            }

            await KeeperLoadTests.EndWithoutErrorAsync(load, () => Log(device));
        }

        JsonElement status = device.Status();
        Assert.Equal("online", status.GetProperty("state").GetString());
        Assert.Contains("recovery", InForce(status));
        Assert.Equal(before, InForce(status));
        await device.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Not_one_acknowledged_byte_differs_when_worker_and_server_die_at_once()
    {
        const int Size = 8 << 20;
        await using var server = new VolatileServer(Size);
        server.Start();
        await using AttachedDevice device = await StartAsync($"nbd+unix:///?socket={server.SocketPath}");
        byte[] expected = new byte[Size];
        using (MountedFile file = Open(device, OpenFlags.ReadWrite))
        {
            for (int death = 0; death < Kills; death++)
            {
                for (int i = 0; i < 40; i++)
                {
                    // With O_DIRECT the device has acknowledged it when this returns.
                    byte[] data = PatternData.Create((ulong)((death * 100) + i), 0, 4096);
                    int offset = ((death * 7) + (i * 13)) % (Size / 4096) * 4096;
                    WriteDirect(device, offset, data);
                    data.CopyTo(expected, offset);
                }

                int before = Worker(device);
                Task crash = server.CrashAsync();
                Posix.Kill(before, KeptWorker.Kill);
                await crash;
                server.Start();
                await WaitForTakeOverAsync(device, before);
            }

            Assert.Equal(0, file.Fsync());
        }

        PatternData.AssertEqual(expected, server.Durable());
        await device.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Upgrade_under_load_has_another_process_serve_the_device()
    {
        string fio = Requires.Command("fio");
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 32 << 20 });
        await using AttachedDevice device = await StartAsync(server.Uri);
        await using (BackgroundTool load = StartLoad(fio, device))
        {
            for (int i = 0; i < 2; i++)
            {
                int before = Worker(device);
                (await device.RunAsync("upgrade", device.Path)).EnsureSuccess();
                Assert.NotEqual(before, Worker(device));
                Assert.False(load.HasExited, load.Error);
            }

            await KeeperLoadTests.EndWithoutErrorAsync(load, () => Log(device));
        }

        Assert.DoesNotContain("died", Log(device));
        await device.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Detach_right_after_a_death_takes_the_device_down()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using AttachedDevice device = await StartAsync(server.Uri);
        Posix.Kill(Worker(device), KeptWorker.Kill);
        await device.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Detach_by_force_ends_keeper_and_worker_although_the_server_is_gone()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using AttachedDevice device = await StartAsync(server.Uri);
        int pid = device.Pid;
        int worker = Worker(device);
        server.Kill();
        (await device.RunAsync("detach", "--force", device.Path)).EnsureSuccess();
        Assert.True(OtherProcess.IsGone(worker));
        device.AssertGone(pid);
    }

    [Fact]
    public async Task Keeper_that_is_killed_leaves_a_worker_that_goes_on_and_can_be_detached()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using AttachedDevice device = await StartAsync(server.Uri);
        int worker = Worker(device);
        await device.KillKeeperAsync();
        await Deadline.Until(() => device.Pid == worker, "the state to name the worker");
        WriteDirect(device, 0, PatternData.Create(1, 0, 4096));
        Assert.Equal(1, (await device.RunAsync("upgrade", device.Path)).ExitCode);
        await device.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Another_disk_gets_nothing_and_users_get_errors()
    {
        const int Size = 4 << 20;
        await using var server = new VolatileServer(Size);
        server.Start();
        await using AttachedDevice device = await StartAsync($"nbd+unix:///?socket={server.SocketPath}");
        using MountedFile file = Open(device, OpenFlags.ReadWrite);
        for (int i = 0; i < 8; i++)
        {
            WriteDirect(device, i * 65536, PatternData.Create(3, 0, 4096));
        }

        Assert.Equal(0, file.Fsync());
        int pid = device.Pid;
        int worker = Worker(device);
        Task crash = server.CrashAsync();
        Posix.Kill(worker, KeptWorker.Kill);
        await crash;
        server.Replace(new byte[Size]);
        server.Start();
        await Deadline.Until(() => OtherProcess.IsGone(pid), "the keeper to end");
        Assert.Contains("another disk", await File.ReadAllTextAsync(Path.Combine(device.RuntimeDirectory, "last.log")));
        Assert.Equal(new byte[Size], server.Memory());
        file.Dispose();
        File.Delete(Path.Combine(device.RuntimeDirectory, "last.log"));
        device.AssertGone(pid);
    }

    [Fact]
    public async Task Without_a_keeper_there_is_one_process_and_nobody_follows_it()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri, "--driver", "fuse", "--no-keeper");
        Assert.Equal(0, device.Worker);
        Assert.DoesNotContain("recovery", InForce(device.Status()));
        ToolResult upgrade = await device.RunAsync("upgrade", device.Path);
        Assert.Equal(1, upgrade.ExitCode);
        Assert.Contains("no keeper", upgrade.Error);
        await device.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Device_in_the_foreground_has_its_keeper_there_and_ends_by_its_signal()
    {
        Requires.Loop();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 8 << 20 });
        using var directory = new TempDirectory();
        await using BackgroundTool tool = AttachedDevice.Launch(directory, "attach", "--foreground", "--driver", "fuse", server.Uri);
        await Deadline.Until(() => tool.HasExited || tool.Output.EndsWith('\n'), "the device");
        int? first = KeptWorker.Find(tool.Id);
        Assert.NotNull(first);
        Posix.Kill(first.Value, KeptWorker.Kill);
        await Deadline.Until(() => tool.Error.Contains("serves the file after", StringComparison.Ordinal), "another process to serve the device");
        ToolResult read = await Tool.RunAsync("dd", $"if={tool.Output.Trim()}", "of=/dev/null", "bs=4k", "count=1", "iflag=direct", "status=none");
        read.EnsureSuccess();
        tool.Signal("TERM");
        Assert.Equal(0, await Deadline.Within(tool.WaitForExitAsync(CancellationToken.None), "the end"));
        Assert.Empty(Directory.GetFileSystemEntries(directory["run"]));
    }

    [Fact]
    public async Task Next_process_finds_a_server_whose_path_was_relative()
    {
        Requires.Loop();
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        using var directory = new TempDirectory();
        string socket = server.Uri[(server.Uri.IndexOf("socket=", StringComparison.Ordinal) + "socket=".Length)..];
        ToolResult result = await Tool.RunAsync(
            "env", "-C", Path.GetDirectoryName(socket)!, $"NBDFUSE_RUNTIME_DIR={directory["run"]}", NbdfuseProgram.FullPath, "attach",
            "--driver", "fuse", $"nbd+unix:///?socket={Path.GetFileName(socket)}");
        string device = result.EnsureSuccess().Output.Trim();
        try
        {
            using JsonDocument state = JsonDocument.Parse(
                await File.ReadAllTextAsync(Path.Combine(Directory.GetDirectories(directory["run"]).Single(), "state.json")));
            int keeper = state.RootElement.GetProperty("pid").GetInt32();
            Assert.Equal("/", new FileInfo($"/proc/{keeper}/cwd").LinkTarget);
            Posix.Kill(state.RootElement.GetProperty("worker").GetInt32(), KeptWorker.Kill);
            (await Tool.RunAsync("dd", $"if={device}", "of=/dev/null", "bs=4k", "count=1", "iflag=direct", "status=none")).EnsureSuccess();
        }
        finally
        {
            (await AttachedDevice.RunAsync(directory, "detach", device)).EnsureSuccess();
        }
    }

    [Fact]
    public async Task Where_a_keeper_is_of_no_use_it_is_refused()
    {
        using var directory = new TempDirectory();
        ToolResult result = await AttachedDevice.RunAsync(directory, ["attach", "--keeper", "--driver", "nbd", "nbd://localhost:1/"]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("--keeper is for", result.Error);
    }

    private static string[] InForce(JsonElement status) =>
    [
        .. status.GetProperty("guarantees").EnumerateArray().Where(guarantee => guarantee.GetProperty("in-force").GetBoolean())
            .Select(guarantee => guarantee.GetProperty("name").GetString()!),
    ];

    private static Task<AttachedDevice> StartAsync(string uri) => AttachedDevice.StartAsync(uri, "--driver", "fuse");

    private static BackgroundTool StartLoad(string fio, AttachedDevice device) => new(
        fio, "--name=verify", $"--filename={device.Path}", "--size=32M", "--rw=randrw", "--bs=4k-64k", "--ioengine=libaio",
        "--direct=1", "--iodepth=32", "--serialize_overlap=1", "--verify=crc32c", "--verify_backlog=64", "--time_based",
        "--runtime=600", "--verify_fatal=1", "--randrepeat=0", "--output-format=terse");

    private static MountedFile Open(AttachedDevice device, OpenFlags flags) => new(device.Path, flags);

    private static void WriteDirect(AttachedDevice device, long offset, byte[] data)
    {
        // A block device takes aligned memory only: that of a mapping is.
        using NativeBuffer buffer = NativeBuffer.Allocate(data.Length);
        data.CopyTo(buffer.Span);
        using MountedFile file = Open(device, OpenFlags.ReadWrite | OpenFlags.Direct);
        file.Write(offset, buffer.Span);
    }

    private static int Worker(AttachedDevice device) => device.Worker;

    private static string Log(AttachedDevice device) => File.ReadAllText(Path.Combine(device.EntryDirectory, "log"));

    private static async Task KillWorkerAsync(AttachedDevice device)
    {
        int before = Worker(device);
        Posix.Kill(before, KeptWorker.Kill);
        await WaitForTakeOverAsync(device, before);
    }

    private static Task WaitForTakeOverAsync(AttachedDevice device, int before)
    {
        return Deadline.Until(
            () => Worker(device) is int now && now != before && Log(device).Contains($"process {now} serves the file after", StringComparison.Ordinal),
            "another process to serve the device");
    }
}
