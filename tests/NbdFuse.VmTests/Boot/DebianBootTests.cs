using System.Net;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.VmTests.Boot;

/// <summary>
/// A Debian with systemd, whose network manager would ask DHCP for an address of its own, boots to multi-user and shuts down:
/// with each driver that serves from a process of ours.
/// </summary>
public sealed partial class DebianBootTests(BootFiles files) : IClassFixture<BootFiles>
{
    private static readonly TimeSpan MakeTimeout = TimeSpan.FromMinutes(10);

    [Theory]
    [InlineData("fuse", "/dev/loop0")]
    [InlineData("ublk", "/dev/ublkb0")]
    public async Task Debian_boots_to_multi_user_and_lets_go_of_its_root_at_the_end(string driver, string device)
    {
        // Making the image takes minutes.
        Assert.SkipUnless(Environment.GetEnvironmentVariable("NBDFUSE_SOAK") == "1", "SKIPPED: NBDFUSE_SOAK=1 boots a Debian, too.");
        using var directory = new TempDirectory();
        string image = directory["disk.img"];
        string log = directory["nbdkit.log"];
        Tool.Run("cp", "--sparse=always", MakeRoot(), image).EnsureSuccess();
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "--filter=log", "file", image, $"logfile={log}");
        int port = ((IPEndPoint)server.EndPoint).Port;
        using BootMachine machine = BootMachine.Start(files.Initramfs, $"nbdroot=10.0.2.2:{port} rw nbdfuse.driver={driver}");

        await machine.EndsWellAsync();

        string console = machine.Console;
        Assert.True(console.Contains("BOOT failed units: []", StringComparison.Ordinal), console);
        Assert.True(console.Contains($"BOOT root: {device}", StringComparison.Ordinal), console);
        Assert.True(NetworkLeftAlone().IsMatch(console), console);
        Assert.True(console.Contains($"nbdfuse: {device} is detached", StringComparison.Ordinal), console);
        Assert.True(BootFiles.IsFlushed(log), "The last write was not flushed.");
        Assert.Equal("marker\n", BootFiles.ReadBack(image, partitioned: false, file: "marker"));
    }

    [GeneratedRegex("BOOT network: .*routable +unmanaged")]
    private static partial Regex NetworkLeftAlone();

    private static string MakeRoot([CallerFilePath] string path = "")
    {
        string script = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "../../lib/debian-root.sh"));
        ToolResult result = Tool.Run(MakeTimeout, "bash", script);
        if (result.ExitCode != 0)
        {
            Requires.Missing("debian-root", result.Error.Trim());
        }

        return result.Output.Trim();
    }
}
