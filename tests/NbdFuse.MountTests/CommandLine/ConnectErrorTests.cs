using System.Net;
using System.Net.Sockets;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Servers that can't be reached or used: one line, exit code 1, and the mountpoint as it was.</summary>
public sealed class ConnectErrorTests
{
    [Fact]
    public async Task Refused_port_is_named_with_what_to_look_at()
    {
        using var bound = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        bound.Bind(new IPEndPoint(IPAddress.Loopback, 0));

        // Bound and not listening: nobody else can begin to listen there in the meantime.
        int port = ((IPEndPoint)bound.LocalEndPoint!).Port;
        await AssertFails(["--tcp", "127.0.0.1", $"{port}"], $"{port}", "refused", "; ");
    }

    [Fact]
    public async Task Missing_unix_socket_is_named()
    {
        using var directory = new TempDirectory();
        await AssertFails(["--unix", directory["none.sock"]], directory["none.sock"], "; ");
    }

    [Fact]
    public async Task Unknown_host_is_named() =>
        await AssertFails(["nbd://no-such-host.invalid/disk"], "no-such-host.invalid", "; ");

    [Fact]
    public async Task Unknown_export_is_named_and_the_list_is_recommended()
    {
        await using RealServer server = await RealServers.QemuNbd(new RealServerOptions { ExportName = "disk", Size = 1 << 20 });
        await AssertFails([NbdUris.For(server.EndPoint, "other")], "other", "nbdfuse list");
    }

    [Fact]
    public async Task Server_that_is_not_nbd_is_recognised()
    {
        await using var server = new ScriptedNbdServer(async script =>
        {
            await script.SendAsync("SSH-2.0-OpenSSH_9.6\r\nand much more of what is no greeting"u8.ToArray());
            await script.DiscardUntilClose();
        });
        await AssertFails([server.Uri], "NBD");
    }

    [Fact]
    public async Task Connection_that_closes_at_once_is_reported()
    {
        await using var server = new ScriptedNbdServer(script =>
        {
            script.Close();
            return Task.CompletedTask;
        });
        await AssertFails([server.Uri], "closed");
    }

    [Theory]
    [InlineData("--command", "/no/such/server")]
    [InlineData("[", "/no/such/server", "]")]
    public async Task Missing_command_is_named(params string[] mode) => await AssertFails(mode, "/no/such/server");

    [Theory]
    [InlineData("--command", "false")]
    [InlineData("[", "false", "]")]
    public async Task Command_that_ends_at_once_is_reported(params string[] mode) => await AssertFails(mode);

    [Theory]
    [InlineData("999", "999")]
    [InlineData("0", "0")]
    public async Task Descriptor_that_is_no_socket_is_named(string number, string part) => await AssertFails(["--fd", number], part);

    private static async Task AssertFails(string[] mode, params string[] parts)
    {
        Requires.Fuse();
        await using MountedNbdfuse mount = MountedNbdfuse.Launch(new MountStart { Mode = mode, Shape = MountShape.File });
        Assert.Equal(1, await mount.WaitForExitAsync());
        OneLine.AssertError(mount.Error, parts);
        Assert.False(File.Exists(mount.PidFile));
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
        Assert.Equal("what lies under the mount", await File.ReadAllTextAsync(mount.FilePath));
    }
}
