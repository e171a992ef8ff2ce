using System.Net;
using System.Text.RegularExpressions;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.VmTests.Boot;

/// <summary>
/// The server of a root filesystem, or the way to it, goes away and comes back: before the boot, in it, and while the system writes.
/// The machine goes on each time, and its disk is whole at the end.
/// </summary>
public sealed partial class OutageBootTests(BootFiles files) : IClassFixture<BootFiles>
{
    private static readonly TimeSpan Outage = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LongOutage = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData("fuse", true)]
    [InlineData("ublk", false)]
    public async Task Server_that_comes_late_and_is_killed_under_load_is_waited_for(string driver, bool isEncrypted)
    {
        using TestPki? pki = isEncrypted ? new TestPki() : null;
        string image = files.MakeDisk(partitioned: false);
        string log = image + ".log";
        await using RealServer server = await StartAsync(image, log, pki is null ? [] : ["--tls=require", $"--tls-psk={pki.SinglePskFile}"]);
        await server.StopAsync();
        string initramfs = pki is null ? files.Initramfs : files.MakeInitramfs("--tls-psk", pki.SinglePskFile);
        using BootMachine machine = BootMachine.Start(
            initramfs, Arguments($"nbdfuse={(isEncrypted ? "nbds" : "nbd")}://10.0.2.2:PORT rw nbdfuse.driver={driver} boottest.load=40", server));

        await machine.SaysAsync("trying again");
        await server.RestartAsync();
        await machine.SaysAsync("BOOT load 3.");
        await KillAsync(server, machine, TimeSpan.FromSeconds(1));

        await EndAsync(machine, image, log);
    }

    [Theory]
    [InlineData("fuse")]
    [InlineData("ublk")]
    public async Task Outages_in_the_boot_and_under_load_are_waited_for(string driver)
    {
        Requires.Soak("takes the server and the network away for a minute in all.");
        string image = files.MakeDisk(partitioned: false);
        string log = image + ".log";
        await using RealServer server = await StartAsync(image, log);
        using BootMachine machine = BootMachine.Start(
            files.Initramfs, Arguments($"nbdfuse=nbd://10.0.2.2:PORT rw nbdfuse.driver={driver} boottest.load=200", server));

        await machine.SaysAsync("is the root, read-write");
        server.Kill();
        await Task.Delay(Outage, TestContext.Current.CancellationToken);
        Assert.DoesNotContain("BOOT load 1.", machine.Console, StringComparison.Ordinal);
        await server.RestartAsync();

        await machine.SaysAsync("BOOT load 3.");
        await KillAsync(server, machine, Outage);

        await machine.SaysAsync($"BOOT load {Loads(machine) + 10}.");
        await machine.SetLinkAsync(isUp: false);
        await StandsStillAsync(machine, LongOutage);
        await machine.SetLinkAsync(isUp: true);

        await machine.SaysAsync($"BOOT load {Loads(machine) + 10}.");
        string pid = (await File.ReadAllTextAsync(server.Directory["server.pid"], TestContext.Current.CancellationToken)).Trim();
        Tool.Run("kill", "-STOP", pid).EnsureSuccess();
        try
        {
            await StandsStillAsync(machine, LongOutage);
        }
        finally
        {
            Tool.Run("kill", "-CONT", pid).EnsureSuccess();
        }

        await EndAsync(machine, image, log);
    }

    [Fact]
    public async Task Link_that_is_down_at_first_is_waited_for()
    {
        Requires.Soak("boots without a link for twenty seconds.");
        string image = files.MakeDisk(partitioned: false);
        string log = image + ".log";
        await using RealServer server = await StartAsync(image, log);
        using BootMachine machine = BootMachine.Start(files.Initramfs, Arguments("nbdfuse=nbd://10.0.2.2:PORT rw", server));

        await machine.SetLinkAsync(isUp: false);
        await Task.Delay(LongOutage, TestContext.Current.CancellationToken);
        await machine.SetLinkAsync(isUp: true);

        await EndAsync(machine, image, log);
    }

    [Theory]
    [InlineData("fuse")]
    [InlineData("ublk")]
    public async Task Little_memory_is_enough_for_a_root_that_is_written_under_pressure(string driver)
    {
        Requires.Soak("unpacks an archive in a machine of 192 MiB.");
        string image = files.MakeDisk(partitioned: false, size: 400L << 20);
        string log = image + ".log";
        await using RealServer server = await StartAsync(image, log);
        using BootMachine machine = BootMachine.Start(
            files.Initramfs, Arguments($"nbdfuse=nbd://10.0.2.2:PORT rw nbdfuse.driver={driver} boottest.pressure", server), memoryMiB: 192);

        await machine.EndsWellAsync(TimeSpan.FromMinutes(8));

        Assert.True(machine.Console.Contains("BOOT pressure: all is right", StringComparison.Ordinal), machine.Console);
        Assert.Equal("synced\nunsynced\n", BootFiles.ReadBack(image, partitioned: false));
        Assert.True(BootFiles.IsFlushed(log), "The last write was not flushed.");
    }

    [Fact]
    public async Task Certificates_of_the_initramfs_are_used_and_a_wrong_clock_is_named()
    {
        Requires.Soak("boots twice by TLS.");
        using var pki = new TestPki();
        string image = files.MakeDisk(partitioned: false);
        string log = image + ".log";
        await using RealServer server = await StartAsync(image, log, "--tls=require", "--tls-verify-peer", $"--tls-certificates={pki.Server}");
        string initramfs = files.MakeInitramfs("--tls-certificates", pki.Client);
        string arguments = Arguments("nbdfuse=nbds://10.0.2.2:PORT/?tls-hostname=nbd.example rw", server);

        using (BootMachine early = BootMachine.Start(initramfs, arguments, qemuArguments: ["-rtc", "base=2001-02-03T04:05:06"]))
        {
            await early.SaysAsync("this machine's clock says 2001-02-03");
        }

        using BootMachine machine = BootMachine.Start(initramfs, arguments);
        await EndAsync(machine, image, log);
    }

    private static Task<RealServer> StartAsync(string image, string log, params string[] options) =>
        RealServers.Nbdkit(ServerTransport.Tcp, [.. options, "--filter=log", "file", image, $"logfile={log}", "logappend=true"]);

    private static async Task KillAsync(RealServer server, BootMachine machine, TimeSpan outage)
    {
        server.Kill();
        await StandsStillAsync(machine, outage);
        await server.RestartAsync();
    }

    // Each step of the load waits for the server: at most the one that was under way can end.
    private static async Task StandsStillAsync(BootMachine machine, TimeSpan outage)
    {
        int before = Loads(machine);
        await Task.Delay(outage, TestContext.Current.CancellationToken);
        Assert.InRange(Loads(machine) - before, 0, 2);
        Assert.DoesNotContain("BOOT end", machine.Console, StringComparison.Ordinal);
    }

    private static async Task EndAsync(BootMachine machine, string image, string log)
    {
        await machine.EndsWellAsync();
        Assert.DoesNotContain("BOOT load:", machine.Console, StringComparison.Ordinal);
        Assert.Equal("synced\nunsynced\n", BootFiles.ReadBack(image, partitioned: false));
        Assert.True(BootFiles.IsFlushed(log), "The last write was not flushed.");
    }

    private static int Loads(BootMachine machine) => Load().Count(machine.Console);

    [GeneratedRegex(@"^BOOT load \d+\.", RegexOptions.Multiline)]
    private static partial Regex Load();

    private static string Arguments(string text, RealServer server) =>
        text.Replace("PORT", $"{((IPEndPoint)server.EndPoint).Port}", StringComparison.Ordinal);
}
