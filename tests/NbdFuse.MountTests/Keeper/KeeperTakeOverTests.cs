using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>What the next process finds, and what it does first.</summary>
public sealed class KeeperTakeOverTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Write_at_a_slow_server_is_sent_again_only_after_the_server_has_let_go_of_the_first(bool resends)
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("--filter=delay", "memory", "1M", "delay-write=1500ms");
        await using MountedNbdfuse mount = await KeptWorker.StartAsync(server.Uri, resends, "-C", "1");
        byte[] data = PatternData.Create(5, 0, 4096);
        using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
        Task write = Task.Run(() => file.Write(0, data));
        await Deadline.Until(() => server.Requests("Write").Length > 0, "the write to be at the server");
        await KeptWorker.KillAsync(mount);
        await Deadline.Within(write, "the write to be answered");
        PatternData.AssertEqual(data, file.Read(0, data.Length));

        string[] lines = server.Lines;
        int[] begins = Positions(lines, " Write id=");
        int firstEnd = Positions(lines, "...Write id=")[0];
        int goodbye = Positions(lines, " Disconnect ")[0];
        Assert.Equal(2, begins.Length);
        Assert.True(firstEnd < begins[1] && goodbye < begins[1], string.Join('\n', lines));
        int flush = Positions(lines, " Flush id=")[0];
        Assert.True(goodbye < flush && flush < begins[1], string.Join('\n', lines));
        file.Dispose();
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Owner_mode_and_times_that_somebody_has_set_stay()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--keeper", "-o", "attr_timeout=0");
        (await Tool.RunAsync("chmod", "640", mount.FilePath)).EnsureSuccess();
        (await Tool.RunAsync("chown", "1234:4321", mount.FilePath)).EnsureSuccess();
        (await Tool.RunAsync("touch", "-d", "2001-02-03T04:05:06.7Z", mount.FilePath)).EnsureSuccess();
        string before = await StatAsync(mount.FilePath);
        await KeptWorker.KillAsync(mount);
        Assert.Equal(before, await StatAsync(mount.FilePath));
        Assert.StartsWith("640 1234 4321 ", before, StringComparison.Ordinal);
        await mount.UnmountCleanlyAsync();
    }

    [Theory]
    [InlineData(MountShape.Directory)]
    [InlineData(MountShape.File)]
    public async Task File_of_a_user_without_privileges_survives_and_is_unmounted_through_the_helper(MountShape shape)
    {
        Requires.Root();
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            new MountStart { Mode = [server.Uri], Shape = shape, Options = ["--keeper"], Unprivileged = true });
        string script = $"head -c 100000 /dev/urandom >{mount.Directory["data"]}; dd if={mount.Directory["data"]} of={mount.FilePath} bs=10000 conv=notrunc status=none";
        (await AsUser(script)).EnsureSuccess();
        await KeptWorker.KillAsync(mount);
        (await AsUser($"head -c 100000 {mount.FilePath} | cmp - {mount.Directory["data"]}")).EnsureSuccess();
        Assert.Equal(1, await mount.EndBySignalAsync("TERM"));
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    [Fact]
    public async Task Many_deaths_leave_no_descriptors_in_the_keeper()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--keeper");
        await KeptWorker.KillAsync(mount);
        int before = Descriptors(mount.Id);
        for (int i = 0; i < 5; i++)
        {
            await KeptWorker.KillAsync(mount);
        }

        await Deadline.Until(() => Descriptors(mount.Id) <= before, $"no more than {before} descriptors");
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Upgrade_under_load_loses_nothing_and_has_another_process_serve_the_file()
    {
        string fio = Requires.Command("fio");
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 32 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--keeper");
        await using var load = new BackgroundTool(
            fio, "--name=verify", $"--filename={mount.FilePath}", "--size=32M", "--rw=randrw", "--bs=4k-64k", "--ioengine=libaio",
            "--direct=1", "--iodepth=32", "--serialize_overlap=1", "--verify=crc32c", "--verify_backlog=64", "--time_based",
            "--runtime=600", "--verify_fatal=1", "--output-format=terse");
        for (int i = 0; i < 3; i++)
        {
            int before = await KeptWorker.WaitAsync(mount);
            (await NbdfuseProgram.RunAsync("upgrade", i == 0 ? mount.FilePath : mount.MountPoint)).EnsureSuccess();
            Assert.NotEqual(before, await KeptWorker.WaitAsync(mount));
            Assert.False(load.HasExited, load.Error);
        }

        await KeeperLoadTests.EndWithoutErrorAsync(load, mount);
        Assert.DoesNotContain("died", mount.Error);
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Upgrade_of_a_file_without_a_keeper_is_refused_and_changes_nothing()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        ToolResult result = await NbdfuseProgram.RunAsync("upgrade", mount.MountPoint);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("--keeper", result.Error);
        await mount.UnmountCleanlyAsync();
    }

    private static int Descriptors(int pid) => Directory.GetFileSystemEntries($"/proc/{pid}/fd").Length;

    private static int[] Positions(string[] lines, string text) =>
        [.. lines.Select((line, index) => (line, index)).Where(pair => pair.line.Contains(text, StringComparison.Ordinal)).Select(pair => pair.index)];

    private static async Task<string> StatAsync(string path) =>
        (await Tool.RunAsync("stat", "-c", "%a %u %g %Y %s", path)).EnsureSuccess().Output;

    private static Task<ToolResult> AsUser(string script) =>
        Tool.RunAsync(MountedNbdfuse.Unprivileged[0], [.. MountedNbdfuse.Unprivileged[1..], "/bin/sh", "-ec", script]);
}
