using System.Net;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Every way of the syntax to name a server: a block goes there and comes back.</summary>
public sealed class ModeTests
{
    [Fact]
    public async Task Uri_of_tcp_and_unix_and_their_spellings_mount()
    {
        await using RealServer tcp = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "1M");
        await using RealServer unix = await RealServers.Nbdkit("memory", "1M");
        int port = ((IPEndPoint)tcp.EndPoint).Port;
        await AssertWorks(tcp.Uri);
        await AssertWorks($"nbd://localhost:{port}");
        await AssertWorks("--uri", unix.Uri);
    }

    [Fact]
    public async Task Words_for_tcp_and_unix_mount()
    {
        await using RealServer tcp = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "1M");
        await using RealServer unix = await RealServers.Nbdkit("memory", "1M");
        await AssertWorks("--tcp", "127.0.0.1", $"{((IPEndPoint)tcp.EndPoint).Port}");
        await AssertWorks("--unix", unix.SocketPath!);
    }

    [Fact]
    public async Task Abstract_unix_socket_mounts()
    {
        await using ServeProcess server = await ServeProcess.StartAsync("--unix", $"@nf-{Guid.NewGuid():N}", "--memory", "1M");
        Assert.Contains("socket=%00nf-", server.Uri);
        await AssertWorks(server.Uri);
    }

    [Fact]
    public async Task Ipv6_address_mounts()
    {
        await using ServeProcess server = await ServeProcess.StartAsync("--bind", "::1", "--port", "0", "--memory", "1M");
        Assert.StartsWith("nbd://[::1]:", server.Uri);
        await AssertWorks(server.Uri);
    }

    [Fact]
    public async Task Inherited_descriptor_mounts()
    {
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "1M");
        string connect = $"exec 9<>/dev/tcp/127.0.0.1/{((IPEndPoint)server.EndPoint).Port} && exec \"$0\" \"$@\"";
        await AssertWorks(new MountStart { Prefix = ["bash", "-c", connect], Mode = ["--fd", "9"] });
    }

    [Theory]
    [InlineData("--command", "nbdkit", "-s", "memory", "1M")]
    [InlineData("--cmd", "nbdkit", "-s", "memory", "1M")]
    [InlineData("[", "nbdkit", "memory", "1M", "]")]
    [InlineData("--socket-activation", "nbdkit", "memory", "1M")]
    [InlineData("--systemd-socket-activation", "nbdkit", "--exit-with-parent", "memory", "1M")]
    public async Task Command_is_started_used_and_ended(params string[] mode)
    {
        Requires.Command("nbdkit");
        using var directory = new TempDirectory();

        // The command's shell tells its process id, by which the test sees that it is gone in the end.
        string pidFile = directory["server.pid"];
        string[] words = [.. mode.SelectMany(word => word == "nbdkit"
            ? new[] { "/bin/sh", "-c", "echo $$ >\"$0\"; exec nbdkit \"$@\"", pidFile }
            : [word])];
        await AssertWorks(words);

        int server = int.Parse(await File.ReadAllTextAsync(pidFile));
        await Deadline.Until(() => OtherProcess.IsGone(server), "the server to be gone");
    }

    [Fact]
    public async Task Export_is_opened_by_its_name()
    {
        await using RealServer server = await RealServers.QemuNbd(new RealServerOptions { ExportName = "the disk/1", Size = 1 << 20 });
        await AssertWorks(server.Uri);
        await AssertWorks(new MountStart { Options = ["--export", "the disk/1"], Mode = ["--unix", server.SocketPath!] });
    }

    private static Task AssertWorks(params string[] mode) => AssertWorks(new MountStart { Mode = mode });

    private static async Task AssertWorks(MountStart start)
    {
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(start);
        Assert.Equal(1 << 20, new FileInfo(mount.FilePath).Length);
        byte[] data = PatternData.Create((ulong)mount.Id, 4096, 8192);
        using (MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            file.Write(4096, data);
            PatternData.AssertEqual(data, file.Read(4096, data.Length), 4096);
        }

        await mount.UnmountCleanlyAsync();
    }
}
