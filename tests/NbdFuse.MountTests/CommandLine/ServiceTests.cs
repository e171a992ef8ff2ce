using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>A mount as systemd and mount(8) see it.</summary>
public sealed class ServiceTests
{
    private static readonly string Packaging = Path.Combine(RepositoryRoot(), "packaging");

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Systemd_hears_of_every_state_and_that_the_loop_lives(bool keeper)
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 4 << 20 });
        using var directory = new TempDirectory();
        using var systemd = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        systemd.Bind(new UnixDomainSocketEndPoint(directory["notify"]));
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(new MountStart
        {
            Prefix = ["env", $"NOTIFY_SOCKET={directory["notify"]}", "WATCHDOG_USEC=100000"],
            Options = keeper ? ["--keeper"] : [],
            Mode = [server.Uri],
        });

        await Next(systemd, "STATUS=connecting to ");
        await Next(systemd, $"READY=1\nSTATUS=serving {mount.FilePath}");
        for (int beat = 0; beat < 3; beat++)
        {
            await Next(systemd, "WATCHDOG=1", isBeatExpected: true);
        }

        // By a process that starts no other and copies no descriptor: each copy that is closed, in any test, is a FLUSH.
        await using (var writer = new BackgroundTool("bash", "-c", "exec 1<>\"$0\"; printf %04096d 0; exec sleep 300", mount.FilePath))
        {
            string position = $"/proc/{writer.Id}/fdinfo/1";
            await Deadline.Until(() => File.ReadAllText(position).StartsWith("pos:\t4096\n", StringComparison.Ordinal), "the write to be answered");
            server.Kill();
            string recovering = await Next(systemd, $"STATUS=recovering {mount.FilePath}: ");
            Assert.EndsWith("; 0 requests wait, 4096 bytes are not flushed", recovering, StringComparison.Ordinal);

            // The server is away, and that is no reason to end a process whose loop lives.
            await Next(systemd, "WATCHDOG=1", isBeatExpected: true);
            await server.RestartAsync();
            string back = await Next(systemd, $"STATUS=serving {mount.FilePath}; the server was away for ");
            Assert.EndsWith(" s, 1 writes were sent again, generation 2", back, StringComparison.Ordinal);
        }

        await mount.UnmountCleanlyAsync();
        await Next(systemd, "STOPPING=1");
    }

    [Fact]
    public async Task Systemd_hears_that_a_server_is_lost_for_good()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        using var directory = new TempDirectory();
        using var systemd = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        systemd.Bind(new UnixDomainSocketEndPoint(directory["notify"]));
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(new MountStart
        {
            Prefix = ["env", $"NOTIFY_SOCKET={directory["notify"]}"],
            Options = ["--reconnect-timeout=0"],
            Mode = [server.Uri],
        });
        await Next(systemd, "STATUS=connecting to ");
        await Next(systemd, "READY=1");
        server.Kill();
        await Next(systemd, $"STATUS=failed: {mount.FilePath}: ");
        Assert.Equal(0, await mount.UnmountAsync());
    }

    [Theory]
    [InlineData("mount -t fuse.nbdfuse \"$URI\" \"$FILE\" -o ro,_netdev,nofail,cache=1M,x-systemd.automount")]
    [InlineData("mount -t nbdfuse -o connections=1 -r \"$URI\" \"$FILE\"")]
    [InlineData("echo \"$URI $FILE fuse.nbdfuse ro,_netdev,nofail 0 0\" >\"$DIR/fstab\"; mount -T \"$DIR/fstab\" \"$FILE\"")]
    public async Task Mount_command_and_fstab_mount_and_return_when_the_file_is_usable(string mount)
    {
        Requires.Root();
        Requires.Fuse();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 4 << 20 });
        using var directory = new TempDirectory();
        Prepare(directory);

        // In a tree of mounts of its own, in which the helpers of this machine are others.
        ToolResult result = await RunAsync(directory, server.Uri, $$"""
            trap 'umount -l "$FILE" 2>/dev/null || true' EXIT
            {{mount}}
            cmp "$FILE" "$BACKING"
            grep -q " $FILE " /proc/self/mountinfo
            ! dd if=/dev/zero of="$FILE" bs=4096 count=1 conv=notrunc 2>/dev/null
            umount "$FILE"
            """, server.BackingFile!);
        Assert.True(result.ExitCode == 0, result.Error + result.Output);
        Assert.Empty(Directory.GetFileSystemEntries(directory["tmp"], "mount.nbdfuse.*"));
    }

    [Fact]
    public async Task Mount_command_that_fails_says_why()
    {
        Requires.Root();
        Requires.Fuse();
        using var directory = new TempDirectory();
        Prepare(directory);
        ToolResult result = await RunAsync(
            directory, $"nbd+unix:///?socket={directory["none"]}", "mount -t fuse.nbdfuse \"$URI\" \"$FILE\"", "-");
        Assert.Equal(32, result.ExitCode);
        Assert.Contains("nbdfuse: ", result.Error, StringComparison.Ordinal);
        Assert.Contains("none", result.Error, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(directory["tmp"], "mount.nbdfuse.*"));
    }

    [Theory]
    [InlineData(512)]
    [InlineData(64, "-o", "max_readahead=65536")]
    [InlineData(128, "--readahead=0")]
    [InlineData(128, "--shared")]
    public async Task Kernel_reads_further_ahead_in_longer_requests_unless_it_is_told_otherwise(int expected, params string[] options)
    {
        Requires.Root();
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, options);
        string line = (await File.ReadAllLinesAsync("/proc/self/mountinfo")).Single(mounted => mounted.Split(' ')[4] == mount.MountPoint);
        string setting = $"/sys/class/bdi/{line.Split(' ')[2]}/read_ahead_kb";
        Assert.SkipUnless(File.Exists(setting), "SKIPPED: no /sys/class/bdi here");
        Assert.Equal($"{expected}\n", await File.ReadAllTextAsync(setting));
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Unit_is_understood_by_systemd()
    {
        string analyze = Requires.Command("systemd-analyze");
        using var directory = new TempDirectory();
        string unit = directory["nbdfuse@.service"];

        // The programs that it names need not be installed here.
        string text = await File.ReadAllTextAsync(Path.Combine(Packaging, "systemd", "nbdfuse@.service"));
        await File.WriteAllTextAsync(unit, text.Replace("/usr/bin/nbdfuse", "/bin/true", StringComparison.Ordinal));
        ToolResult result = await Tool.RunAsync(analyze, "verify", unit);
        Assert.DoesNotContain("nbdfuse@", result.Error, StringComparison.Ordinal);
    }

    private static void Prepare(TempDirectory directory)
    {
        Directory.CreateDirectory(directory["sbin"]);
        Directory.CreateDirectory(directory["tmp"]);
        directory.CreateFile("img", 0);
        foreach (string name in new[] { "mount.nbdfuse", "mount.fuse.nbdfuse" })
        {
            File.Copy(Path.Combine(Packaging, "sbin", "mount.nbdfuse"), Path.Combine(directory["sbin"], name));
        }
    }

    private static Task<ToolResult> RunAsync(TempDirectory directory, string uri, string script, string backing) => Tool.RunAsync(
        "unshare",
        "-m",
        "env",
        $"NBDFUSE={NbdfuseProgram.FullPath}",
        $"TMPDIR={directory["tmp"]}",
        $"DIR={directory}",
        $"URI={uri}",
        $"FILE={directory["img"]}",
        $"BACKING={backing}",
        "sh",
        "-euc",
        "mount --bind \"$DIR/sbin\" \"$(readlink -f /sbin)\"\n" + script);

    /// <summary>Waits for a message; those of the watchdog are passed over, unless it is they that are waited for.</summary>
    private static async Task<string> Next(Socket systemd, string start, bool isBeatExpected = false)
    {
        byte[] buffer = new byte[4096];
        while (true)
        {
            int count = await Deadline.Within(systemd.ReceiveAsync(buffer), start);
            string text = Encoding.UTF8.GetString(buffer, 0, count);
            if (text == "WATCHDOG=1" && !isBeatExpected)
            {
                continue;
            }

            Assert.StartsWith(start, text, StringComparison.Ordinal);
            return text;
        }
    }

    private static string RepositoryRoot([CallerFilePath] string file = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(file)!, "../../.."));
}
