using System.Net;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests.Boot;

/// <summary>
/// A Debian with systemd, whose network manager would ask DHCP for an address of its own, boots to multi-user and shuts down:
/// with each driver that serves from a process of ours.
/// </summary>
public sealed partial class DebianBootTests(BootFiles files) : IClassFixture<BootFiles>
{
    private static readonly TimeSpan MakeTimeout = TimeSpan.FromMinutes(10);

    // 25 seconds on a quiet machine; ten times as much beside compilers that have its processors.
    private static readonly TimeSpan RunTimeout = TimeSpan.FromMinutes(8);

    [Theory]
    [InlineData("fuse", "/dev/loop0")]
    [InlineData("ublk", "/dev/ublkb0")]
    public async Task Debian_boots_to_multi_user_and_lets_go_of_its_root_at_the_end(string driver, string device)
    {
        RequireSoak();
        using var directory = new TempDirectory();
        await BootAsync(directory, files.Initramfs, $"nbdfuse.driver={driver}", device);
    }

    [Fact]
    public async Task Debian_boots_with_its_own_initramfs_and_our_hook()
    {
        RequireSoak();
        using var directory = new TempDirectory();
        string initramfs = directory["initramfs"];
        Make("debian-initramfs.sh", GuestParts.Require().Directory, initramfs);
        await BootAsync(directory, initramfs, "root=/dev/nbd0", "/dev/(ublkb0|loop0)");
    }

    [Fact]
    public async Task Debian_boots_with_dracut_and_our_module()
    {
        RequireSoak();
        using var directory = new TempDirectory();
        string initramfs = directory["initramfs"];
        Make("debian-initramfs.sh", GuestParts.Require().Directory, initramfs, "dracut");
        await BootAsync(directory, initramfs, "root=/dev/nbd0", "/dev/(ublkb0|loop0)");
    }

    // Making the image takes minutes.
    private static void RequireSoak() => Requires.Soak("boots a Debian, too.");

    private static async Task BootAsync(TempDirectory directory, string initramfs, string arguments, string device)
    {
        string image = directory["disk.img"];
        string log = directory["nbdkit.log"];
        Tool.Run("cp", "--sparse=always", Make("debian-root.sh"), image).EnsureSuccess();
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "--filter=log", "file", image, $"logfile={log}");
        int port = ((IPEndPoint)server.EndPoint).Port;
        using BootMachine machine = BootMachine.Start(initramfs, $"nbdroot=10.0.2.2:{port} rw {arguments}");

        await machine.EndsWellAsync(RunTimeout);

        string console = machine.Console;
        Assert.True(console.Contains("BOOT failed units: []", StringComparison.Ordinal), console);
        Assert.True(Regex.IsMatch(console, $"BOOT root: {device}"), console);
        Assert.True(NetworkLeftAlone().IsMatch(console), console);
        Assert.True(Regex.IsMatch(console, $"nbdfuse: {device} is detached"), console);
        Assert.True(BootFiles.IsFlushed(log), "The last write was not flushed.");
        Assert.Equal("marker\n", BootFiles.ReadBack(image, partitioned: false, file: "marker"));
    }

    [GeneratedRegex("BOOT network: .*routable +unmanaged")]
    private static partial Regex NetworkLeftAlone();

    private static string Make(string script, params string[] arguments)
    {
        ToolResult result = Tool.Run(MakeTimeout, "bash", [ScriptPath(script), .. arguments]);
        if (result.ExitCode != 0)
        {
            Requires.Missing("debian-root", result.Error.Trim());
        }

        return result.Output.Trim();
    }

    private static string ScriptPath(string name, [CallerFilePath] string path = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "../../lib", name));
}
