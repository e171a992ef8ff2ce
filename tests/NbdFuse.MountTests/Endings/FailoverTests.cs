using System.Text.Json;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Mounts and devices with several servers.</summary>
public sealed class FailoverTests
{
    private const int Size = 16 << 20;
    private static readonly byte[] Content = PatternData.Create(1, 0, Size);

    [Fact]
    public async Task Fio_reads_on_without_an_error_when_servers_die_and_come_back()
    {
        Requires.Command("fio");
        await using RealServer first = await StartAsync(Content);
        await using RealServer second = await StartAsync(Content);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(first.Uri, "-r", "--also", second.Uri);
        await using var fio = new BackgroundTool("fio",
        [
            "--name=read", $"--filename={mount.FilePath}", "--size=16M", "--rw=randread", "--bs=4k", "--ioengine=libaio", "--iodepth=32",
            "--direct=1", "--time_based", "--runtime=4", "--output-format=terse",
        ]);
        RealServer[] servers = [first, second];
        for (int i = 0; i < 4; i++)
        {
            RealServer used = servers[i % 2];
            RealServer next = servers[(i + 1) % 2];
            used.Kill();
            await Deadline.Until(() => mount.Error.Split("going on with").Length - 1 == i + 1, "the other server to be used");
            Assert.Contains($"going on with {Target(next)} in place of {Target(used)}", mount.Error);
            await used.RestartAsync();
        }

        await fio.WaitForExitAsync(CancellationToken.None);
        Assert.True(fio.ExitCode == 0, $"{fio.Output}{fio.Error}{mount.Error}");
        FileContent.AssertEqual(Content, mount.FilePath);
        Assert.Equal(0, await mount.UnmountAsync());
    }

    [Fact]
    public async Task Both_servers_are_waited_for_and_the_wrong_image_is_named_and_not_read()
    {
        await using RealServer first = await StartAsync(Content);
        await using RealServer wrong = await StartAsync(PatternData.Create(2, 0, Size));
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(first.Uri, "-r", "--also", wrong.Uri);
        using MountedFile file = mount.Open(OpenFlags.ReadOnly | OpenFlags.Direct);
        PatternData.AssertEqual(Content[..65536], file.Read(0, 65536));
        first.Kill();
        Task<byte[]> read = Task.Factory.StartNew(() => file.Read(1 << 20, 65536), TaskCreationOptions.LongRunning);
        await Deadline.Until(() => mount.Error.Contains($"{Target(wrong)} is skipped"), "the wrong image to be seen");
        wrong.Kill();
        Assert.False(read.IsCompleted);
        await first.RestartAsync();
        PatternData.AssertEqual(Content[(1 << 20)..((1 << 20) + 65536)], await Deadline.Within(read, "the read"));
        file.Dispose();
        Assert.Equal(0, await mount.UnmountAsync());
    }

    [Fact]
    public async Task Export_that_would_be_written_to_is_refused()
    {
        await using RealServer first = await StartAsync(Content);
        await using RealServer second = await StartAsync(Content);
        await using var mount = MountedNbdfuse.Launch(new MountStart { Mode = [first.Uri], Options = ["--also", second.Uri] });
        await Deadline.Until(() => mount.HasExited, "the command to end");
        Assert.Contains("--failover=shared-storage", mount.Error);
    }

    [Fact]
    public async Task Device_on_shared_storage_goes_on_and_status_tells_where()
    {
        await using RealServer first = await StartAsync(Content);
        await using RealServer second = await RealServers.Nbdkit("file", first.BackingFile!);
        await using AttachedDevice device = await AttachedDevice.StartAsync(first.Uri, "--also", second.Uri, "--failover=shared-storage");
        Assert.Equal(Target(first), ServerOf(device));
        using var file = new MountedFile(device.Path, OpenFlags.ReadWrite);
        byte[] data = PatternData.Create(3, 0, 65536);
        file.Write(0, data);
        Assert.Equal(0, file.Fsync());
        first.Kill();
        file.Write(65536, data);
        Assert.Equal(0, file.Fsync());
        await Deadline.Until(() => ServerOf(device) == Target(second), "status to tell of the other server");
        file.Dispose();
        await device.DetachCleanlyAsync();
        PatternData.AssertEqual(data, first.ReadBacking(0, 65536));
        PatternData.AssertEqual(data, first.ReadBacking(65536, 65536));
    }

    private static Task<RealServer> StartAsync(byte[] content) =>
        RealServers.NbdkitFile(new RealServerOptions { Size = Size, Content = content });

    private static string Target(RealServer server) => new NbdFuse.Client.UnixTarget(server.SocketPath!).ToString();

    private static string? ServerOf(AttachedDevice device)
    {
        JsonElement status = device.Status();
        return status.GetProperty("server").GetString();
    }
}
