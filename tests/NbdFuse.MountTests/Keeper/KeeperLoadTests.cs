using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Processes that are killed under load: whoever uses the file sees no error, and no byte is different.</summary>
public sealed class KeeperLoadTests
{
    private static int Kills => Requires.IsSoak ? 20 : 5;

    [Theory]
    [InlineData(RealServerKind.Nbdkit, true, true)]
    [InlineData(RealServerKind.Nbdkit, false, true)]
    [InlineData(RealServerKind.QemuNbd, true, true)]
    [InlineData(RealServerKind.NbdServer, true, true)]
    [InlineData(RealServerKind.Nbdkit, true, false)]
    [InlineData(RealServerKind.Nbdkit, false, false)]
    public async Task Fio_at_depth_32_on_the_file_verifies_every_block_while_workers_are_killed(RealServerKind kind, bool direct, bool resends)
    {
        string fio = Requires.Command("fio");
        await using RealServer server = await RealServers.StartAsync(kind, new RealServerOptions { Size = 32 << 20 });
        await using MountedNbdfuse mount = await KeptWorker.StartAsync(server.Uri, resends);
        await VerifyAsync(fio, mount, mount.FilePath, direct, () => KeptWorker.KillAsync(mount));
        await mount.UnmountCleanlyAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Fio_at_depth_32_on_a_loop_device_verifies_every_block_while_workers_are_killed(bool resends)
    {
        string fio = Requires.Command("fio");
        Requires.Loop();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 32 << 20 });
        await using MountedNbdfuse mount = await KeptWorker.StartAsync(server.Uri, resends);
        await using (LoopDevice loop = await LoopDevice.AttachAsync(mount.FilePath))
        {
            // By itself losetup goes on without it where the file refuses, and then the page cache would hide what is lost.
            Assert.Equal("1", (await File.ReadAllTextAsync($"/sys/block/{Path.GetFileName(loop.Path)}/loop/dio")).Trim());
            await VerifyAsync(fio, mount, loop.Path, direct: true, () => KeptWorker.KillAsync(mount));
        }

        await mount.UnmountCleanlyAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Fio_verifies_every_block_while_workers_are_killed_before_they_serve(bool resends)
    {
        string fio = Requires.Command("fio");
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 32 << 20 });
        await using MountedNbdfuse mount = await KeptWorker.StartAsync(server.Uri, resends);
        var random = new Random(1);
        await VerifyAsync(fio, mount, mount.FilePath, direct: true, async () =>
        {
            int before = KeptWorker.TakeOvers(mount);
            for (int i = 0; i < 3; i++)
            {
                Posix.Kill(await KeptWorker.WaitAsync(mount), KeptWorker.Kill);

                // Which moment of its start does not matter: every one must do.
                await Task.Delay(random.Next(120));
            }

            await KeptWorker.WaitForTakeOverAsync(mount, before);
        });
        await mount.UnmountCleanlyAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task File_system_on_a_loop_device_survives_killed_workers(bool resends)
    {
        string mkfs = Requires.Command("mkfs.ext4");
        Requires.Loop();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 64 << 20 });
        await using MountedNbdfuse mount = await KeptWorker.StartAsync(server.Uri, resends);
        await using (LoopDevice loop = await LoopDevice.AttachAsync(mount.FilePath))
        {
            (await Tool.RunAsync(mkfs, "-q", loop.Path)).EnsureSuccess();
            string directory = Directory.CreateDirectory(mount.Directory["fs"]).FullName;
            await loop.MountAsync(directory);
            Task<ToolResult> writing = Tool.RunAsync(
                "/bin/sh",
                "-ec",
                $"for i in 1 2 3 4 5 6 7 8; do head -c 3000000 /dev/urandom >{directory}/a$i; cp {directory}/a$i {directory}/b$i; sync {directory}/b$i; done; echo 3 >/proc/sys/vm/drop_caches; for i in 1 2 3 4 5 6 7 8; do cmp {directory}/a$i {directory}/b$i; done");
            for (int i = 0; i < Kills; i++)
            {
                await KeptWorker.KillAsync(mount);
            }

            (await writing).EnsureSuccess();
            await loop.UnmountAsync();
            (await Tool.RunAsync("e2fsck", "-fn", loop.Path)).EnsureSuccess();
        }

        await mount.UnmountCleanlyAsync();
    }

    private static async Task VerifyAsync(string fio, MountedNbdfuse mount, string path, bool direct, Func<Task> kill)
    {
        await using var load = new BackgroundTool(
            fio, "--name=verify", $"--filename={path}", "--size=32M", "--rw=randrw", "--bs=4k-64k", "--ioengine=libaio",
            direct ? "--direct=1" : "--direct=0", "--iodepth=32", "--serialize_overlap=1", "--verify=crc32c", "--verify_backlog=64",
            "--time_based", "--runtime=600", "--verify_fatal=1", "--randrepeat=0", "--output-format=terse");
        var random = new Random(7);
        for (int i = 0; i < Kills; i++)
        {
            // A moment is what the test is about: which one does not matter, every one must do.
            await Task.Delay(random.Next(50, 400));
            Assert.False(load.HasExited, $"fio ended:\n{load.Output}{load.Error}");
            await kill();
        }

        await EndWithoutErrorAsync(load, mount);
    }

    /// <summary>Ends fio by a signal, and fails unless it has seen neither an error nor a difference.</summary>
    /// <param name="load">fio, with terse output.</param>
    /// <param name="mount">The mount.</param>
    internal static Task EndWithoutErrorAsync(BackgroundTool load, MountedNbdfuse mount) => EndWithoutErrorAsync(load, () => mount.Error);

    /// <summary>Ends fio by a signal, and fails unless it has seen neither an error nor a difference.</summary>
    /// <param name="load">fio, with terse output.</param>
    /// <param name="log">What the served side has said.</param>
    internal static async Task EndWithoutErrorAsync(BackgroundTool load, Func<string> log)
    {
        load.Signal("INT");
        int code = await Deadline.Within(load.WaitForExitAsync(CancellationToken.None), "fio to end");
        string result = load.Output.Split('\n').Single(line => line.StartsWith("3;", StringComparison.Ordinal));

        // 128 is how it ends by a signal; the error of the job is the fifth field (fio's HOWTO, "Terse output").
        Assert.True(code is 0 or 128 && result.Split(';')[4] == "0", $"fio ended with {code}:\n{load.Output}{load.Error}\n{log()}");
        Assert.DoesNotContain("verify:", load.Error);
        Assert.DoesNotContain("io_u error", load.Error);
    }
}
