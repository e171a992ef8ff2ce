using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>A mount whose server goes away and comes back.</summary>
public sealed class ReconnectTests
{
    private const OpenFlags Direct = OpenFlags.ReadWrite | OpenFlags.Direct;

    [Fact]
    public async Task Reads_writes_and_fsync_wait_for_the_server()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 4 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile file = mount.Open(Direct);
        byte[] data = PatternData.Create(1, 0, 65536);
        file.Write(0, data);
        server.Kill();
        Task<byte[]> read = Task.Run(() => file.Read(0, 65536));
        Task<int> write = Task.Run(() => file.TryWrite(65536, data));
        await Deadline.Until(() => mount.Error.Contains("the server is lost, reconnecting"), "the loss to be noticed");
        Task<int> fsync = Task.Run(file.Fsync);
        Assert.False(read.IsCompleted || write.IsCompleted || fsync.IsCompleted);
        await server.RestartAsync();
        PatternData.AssertEqual(data, await Deadline.Within(read, "the read"));
        Assert.Equal(65536, await Deadline.Within(write, "the write"));
        Assert.Equal(0, await Deadline.Within(fsync, "the fsync"));
        await Deadline.Until(() => mount.Error.Contains("the server is back"), "the return to be logged");
        file.Dispose();
        Assert.Equal(0, await mount.UnmountAsync());
        PatternData.AssertEqual(data, server.ReadBacking(65536, 65536));
    }

    [Fact]
    public async Task Reader_that_is_killed_while_the_server_is_away_ends()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 4 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        server.Kill();
        await Deadline.Until(() => mount.Error.Contains("the server is lost, reconnecting"), "the loss to be noticed");
        await using var reader = new BackgroundTool("dd", [$"if={mount.FilePath}", "of=/dev/null", "bs=4096", "count=1", "iflag=direct"]);
        await Deadline.Until(() => OtherProcess.IsBlockedOn(reader.Id, mount.FilePath), "the reader to wait");
        reader.Kill();
        await Deadline.Until(() => reader.HasExited, "the reader to end");
        Assert.False(mount.HasExited);
        await server.RestartAsync();
        await Deadline.Until(() => mount.Error.Contains("the server is back"), "the server to be back");
        Assert.Equal(0, await mount.UnmountAsync());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Idle_mount_ends_while_the_server_is_away(bool bySignal)
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 4 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using (MountedFile file = mount.Open(Direct))
        {
            file.Write(0, new byte[4096]);
            Assert.Equal(0, file.Fsync());
        }

        server.Kill();
        await Deadline.Until(() => mount.Error.Contains("the server is lost, reconnecting"), "the loss to be noticed");
        Assert.Equal(bySignal ? 1 : 0, bySignal ? await mount.EndBySignalAsync("TERM") : await mount.UnmountAsync());
        Assert.DoesNotContain("may be lost", mount.Error);
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    [Fact]
    public async Task Time_limits_give_errors_to_those_who_wait()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 4 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--request-timeout=0.3", "--reconnect-timeout=3");
        using MountedFile file = mount.Open(Direct);
        server.Kill();
        Assert.Equal(-Errno.ETIMEDOUT, file.TryRead(0, new byte[4096]));
        await Deadline.Until(() => mount.Error.Contains("did not come back within 3 s"), "the end of the time");
        Assert.Equal(-Errno.EIO, file.TryRead(0, new byte[4096]));
    }

    [Fact]
    public async Task Server_that_falls_silent_does_not_hang_callers_of_a_mount_with_a_request_timeout()
    {
        await using var server = new VolatileServer(4 << 20);
        server.Before = static async (script, request) =>
        {
            if (request.Offset >= 1 << 20)
            {
                await script.StaySilent();
                throw new OperationCanceledException();
            }

            return 0;
        };
        server.Start();
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            $"nbd+unix:///?socket={server.SocketPath}", "--request-timeout=0.5", "-C", "1");
        using (MountedFile file = mount.Open(Direct))
        {
            file.Write(0, PatternData.Create(1, 0, 4096));
            Assert.Equal(-Errno.ETIMEDOUT, file.TryRead(1 << 20, new byte[4096]));

            // It stands behind the other one: the connection lives, and nobody reconnects for a slow request.
            Assert.Equal(-Errno.ETIMEDOUT, file.TryRead(0, new byte[4096]));
            Assert.Equal(-Errno.ETIMEDOUT, file.TryWrite(0, new byte[4096]));
            Assert.Equal(-Errno.ETIMEDOUT, file.Fsync());
        }

        Assert.Contains("--request-timeout", mount.Error);
        Assert.DoesNotContain("reconnecting", mount.Error);
    }

    [Theory]
    [InlineData("INT")]
    [InlineData("TERM")]
    public async Task Second_signal_ends_at_once_while_the_server_is_away_and_somebody_waits(string signal)
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 4 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "-v");
        using MountedFile file = mount.Open(Direct);
        file.Write(0, new byte[4096]);
        server.Kill();
        await Deadline.Until(() => mount.Error.Contains("the server is lost, reconnecting"), "the loss to be noticed");
        Task<int> read = Task.Factory.StartNew(() => file.TryRead(0, new byte[4096]), TaskCreationOptions.LongRunning);
        mount.Signal(signal);
        await Deadline.Until(() => mount.Error.Contains($"signal SIG{signal}: unmounting"), "the first signal");
        Assert.Equal(137, await mount.EndBySignalAsync(signal));
        Assert.True(await Deadline.Within(read, "the read") < 0);
    }

    [Fact]
    public async Task Another_disk_at_the_address_is_refused_and_gives_errors()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile file = mount.Open(Direct);
        file.Write(0, PatternData.Create(1, 0, 65536));
        Assert.Equal(0, file.Fsync());
        server.Kill();
        await server.RestartAsync();
        await Deadline.Until(() => mount.Error.Contains("another disk than before"), "the disk to be missed");
        Assert.Equal(-Errno.EIO, file.TryRead(0, new byte[4096]));
        Assert.Equal(-Errno.EIO, file.TryWrite(0, new byte[4096]));
    }

    [Fact]
    public async Task Fio_verifies_everything_while_the_server_is_killed()
    {
        Requires.Command("fio");
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 16 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        await using var fio = new BackgroundTool("fio",
        [
            "--name=verify", $"--filename={mount.FilePath}", "--size=16M", "--rw=randrw", "--bsrange=4k-64k", "--ioengine=libaio", "--iodepth=32",
            "--direct=1", "--verify=crc32c", "--serialize_overlap=1", "--time_based", "--runtime=8", "--fsync=64", "--output-format=terse",
        ]);
        int kills = Requires.IsSoak ? 20 : 5;
        for (int i = 1; i <= kills && !fio.HasExited; i++)
        {
            await Task.Delay(Random.Shared.Next(200, 600), TestContext.Current.CancellationToken);
            server.Kill();
            await server.RestartAsync();
            await Deadline.Until(() => mount.Error.Split("the server is back").Length - 1 >= i, "the server to be back");
        }

        await fio.WaitForExitAsync(CancellationToken.None);
        Assert.True(fio.ExitCode == 0, $"{fio.Output}{fio.Error}{mount.Error}");
        Assert.Equal(0, await mount.UnmountAsync());
    }
}
