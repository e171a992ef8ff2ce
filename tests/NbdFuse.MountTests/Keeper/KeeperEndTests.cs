using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>How a mount with a keeper ends, cleanly and otherwise; and that nothing is left of it.</summary>
public sealed class KeeperEndTests
{
    // SIGUSR2 ends a process that does not know it. SIGABRT does not end a runtime that starts.
    private const int SignalOfCrash = 12;

    [Fact]
    public async Task Unmount_ends_both_processes_with_exit_code_0()
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--keeper");
        Assert.Equal($"{mount.Id}", await File.ReadAllTextAsync(mount.PidFile));
        int worker = await KeptWorker.WaitAsync(mount);
        using (MountedFile file = mount.Open())
        {
            file.Write(0, PatternData.Create(1, 0, 65536));
        }

        await mount.UnmountCleanlyAsync();
        Assert.False(KeptWorker.IsAlive(worker));
        Assert.Equal(string.Empty, mount.Error);
        Assert.NotEmpty(server.Requests("Flush"));
        await Deadline.Until(() => server.Lines.Count(line => line.Contains(" Disconnect ", StringComparison.Ordinal))
            == server.Lines.Count(line => line.Contains(" Connect export=", StringComparison.Ordinal)), "all connections to end");
    }

    [Theory]
    [InlineData("TERM", "signal 15")]
    [InlineData("INT", "signal 2")]
    [InlineData("HUP", "signal 1")]
    public async Task Signal_to_the_process_of_the_pidfile_flushes_unmounts_and_ends_both_with_exit_code_1(string signal, string words)
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            new MountStart { Mode = [server.Uri], Options = ["--keeper"], DefaultSignal = signal });
        using (MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            file.Write(0, PatternData.Create(1, 0, 4096));
        }

        await KeptWorker.KillAsync(mount);
        int worker = await KeptWorker.WaitAsync(mount);
        Assert.Equal(1, await mount.EndBySignalAsync(signal));
        Assert.Contains($"terminated by {words}", mount.Error);
        Assert.False(KeptWorker.IsAlive(worker));
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
        Assert.NotEmpty(server.Requests("Flush"));
    }

    [Fact]
    public async Task Keeper_that_is_killed_leaves_a_worker_that_goes_on_and_is_found_by_the_pidfile()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--keeper");
        int worker = await KeptWorker.WaitAsync(mount);
        Posix.Kill(mount.Id, KeptWorker.Kill);
        await Deadline.Until(() => mount.HasExited, "the keeper to die");
        await Deadline.Until(() => File.ReadAllText(mount.PidFile) == $"{worker}", "the pidfile to name the worker");
        byte[] data = PatternData.Create(1, 0, 65536);
        using (MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            file.Write(0, data);
            PatternData.AssertEqual(data, file.Read(0, data.Length));
        }

        Posix.Kill(worker, 15);
        await Deadline.Until(() => !KeptWorker.IsAlive(worker), "the worker to end");
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    [Fact]
    public async Task Mount_whose_keeper_and_worker_were_killed_is_replaced_by_the_next_start()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--keeper");
        int worker = await KeptWorker.WaitAsync(mount);
        Posix.Kill(mount.Id, KeptWorker.Kill);
        Posix.Kill(worker, KeptWorker.Kill);
        await Deadline.Until(() => mount.HasExited && !KeptWorker.IsAlive(worker), "both to die");
        Assert.True(MountedNbdfuse.IsMounted(mount.MountPoint));
        await using MountedNbdfuse next = await mount.StartAgainAtAsync(
            mount.MountPoint, new MountStart { Mode = [server.Uri], Options = ["--keeper"] });
        Assert.Equal(1 << 20, new FileInfo(next.FilePath).Length);
        await next.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Lazy_unmount_while_no_worker_lives_ends_with_the_last_user()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 1 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--keeper");
        byte[] data = PatternData.Create(3, 0, 8192);
        using (MountedFile writer = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            writer.Write(0, data);
        }

        // Not for writing: a server that is started inherits the file until its exec, and closing it would wait for a worker.
        using (MountedFile file = mount.Open(OpenFlags.ReadOnly | OpenFlags.Direct))
        {
            // Without its server the next one cannot begin.
            server.Kill();
            int before = KeptWorker.TakeOvers(mount);
            Posix.Kill(await KeptWorker.WaitAsync(mount), KeptWorker.Kill);
            await Deadline.Until(() => mount.Error.Contains("is waited for", StringComparison.Ordinal), "a worker that waits");

            // Not by umount(8), which looks at the file first, and waits for the worker with everybody else.
            Assert.True(Posix.Umount2(mount.MountPoint, Posix.UnmountDetach) >= 0);
            Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
            await server.RestartAsync();
            await KeptWorker.WaitForTakeOverAsync(mount, before);
            PatternData.AssertEqual(data, file.Read(0, data.Length));
        }

        Assert.Equal(0, await mount.WaitForExitAsync());
    }

    [Fact]
    public async Task Worker_that_crashes_again_and_again_is_given_up_and_nobody_waits_for_ever()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--keeper");
        using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
        for (int i = 0; i < 20 && !mount.HasExited; i++)
        {
            if (KeptWorker.Find(mount.Id) is { } worker)
            {
                Posix.Kill(worker, SignalOfCrash);
                await Deadline.Until(() => !KeptWorker.IsAlive(worker), "the worker to die");
            }

            await Deadline.Until(() => mount.HasExited || KeptWorker.Find(mount.Id) is not null, "another worker, or the end");
        }

        Assert.Equal(1, await mount.WaitForExitAsync());
        Assert.Contains("too many processes have died in a row", mount.Error);
        Assert.True(file.TryRead(0, new byte[4096]) < 0);
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    [Fact]
    public async Task Other_export_at_the_same_address_fails_closed_and_gets_nothing()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 1 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--keeper");
        using (MountedFile writer = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            writer.Write(0, PatternData.Create(3, 0, 8192));
        }

        using MountedFile file = mount.Open(OpenFlags.ReadOnly | OpenFlags.Direct);
        server.Kill();
        Posix.Kill(await KeptWorker.WaitAsync(mount), KeptWorker.Kill);
        await Deadline.Until(() => mount.Error.Contains("is waited for", StringComparison.Ordinal), "a worker that waits");
        await File.WriteAllBytesAsync(server.BackingFile!, new byte[512 * 1024]);
        await server.RestartAsync();
        Assert.Equal(1, await mount.WaitForExitAsync());
        Assert.Contains("another export", mount.Error);
        Assert.True(file.TryRead(0, new byte[4096]) < 0);
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
        Assert.Equal(new byte[512 * 1024], await File.ReadAllBytesAsync(server.BackingFile!));
    }

    [Theory]
    [InlineData("--command", "nbdkit", "-s", "null")]
    [InlineData("--fd", "5")]
    [InlineData("[", "nbdkit", "null", "]")]
    public async Task Server_that_cannot_be_connected_to_again_is_refused(params string[] mode)
    {
        using var directory = new TempDirectory();
        ToolResult result = await NbdfuseProgram.RunAsync(["--keeper", directory.Path, .. mode]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("--keeper needs a server that can be connected to again", result.Error);
    }

    [Fact]
    public async Task Server_that_is_not_there_is_an_error_at_once()
    {
        using var directory = new TempDirectory();
        ToolResult result = await NbdfuseProgram.RunAsync("--keeper", directory.Path, $"nbd+unix:///?socket={directory["none"]}");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("none", result.Error);
        Assert.Single(result.Error.TrimEnd('\n').Split('\n'));
    }
}
