using System.Net;
using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests.Boot;

/// <summary>
/// A busybox system boots from nbdkit with the initramfs that the command makes: each driver, whole disks and partitions, and
/// the families of arguments, so that each goes with each of another kind once.
/// </summary>
public sealed class BootTests(BootFiles files) : IClassFixture<BootFiles>
{
    private const string StaticAddress = "ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off";

    [Theory]
    [InlineData("nbdfuse=nbd://10.0.2.2:PORT/export rw", "auto", false, "/dev/ublkb0")]
    [InlineData("nbdroot=10.0.2.2:PORT/export root=/dev/nbd0p2 rw " + StaticAddress, "fuse", true, "/dev/loop0p2")]
    [InlineData("nbd_host=10.0.2.2 nbd_port=PORT nbd_name=export root=PARTLABEL=rootfs rw ip=dhcp", "ublk", true, "/dev/ublkb0p2")]
    [InlineData("root=nbd:10.0.2.2:PORT/export:ext4:noatime rw " + StaticAddress, "fuse", false, "/dev/loop0")]
    [InlineData("nbdroot=:PORT root=LABEL=system rw rootflags=noatime ip=:10.0.2.2::::eth0:dhcp", "auto", true, "/dev/ublkb0p2")]
    public async Task Machine_boots_writes_and_ends(string arguments, string driver, bool partitioned, string device) =>
        await BootAsync(arguments, driver, partitioned, device);

    [Fact]
    public async Task Machine_boots_by_the_driver_nbd_whose_data_path_is_the_kernel() =>
        await BootAsync("root=/dev/nbd0p2 netroot=nbd:10.0.2.2:PORT rw ip=dhcp", "nbd", partitioned: true, "/dev/nbd0p2");

    [Fact]
    public async Task Overlay_keeps_the_export_as_it_is()
    {
        string image = files.MakeDisk(partitioned: false);
        byte[] before = await File.ReadAllBytesAsync(image, TestContext.Current.CancellationToken);
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "file", image);
        using BootMachine machine = BootMachine.Start(files.Initramfs, Arguments("nbdfuse=nbd://10.0.2.2:PORT rw nbdfuse.overlay=tmpfs", server));

        await machine.SaysAsync("BOOT end");

        Assert.Contains("BOOT root: nbdfuse-root / overlay rw", machine.Console, StringComparison.Ordinal);
        Assert.Empty(KernelLog.Problems(machine.Console));
        Assert.Equal(before, await File.ReadAllBytesAsync(image, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Boot_that_was_recorded_is_read_ahead_the_next_time()
    {
        string image = files.MakeDisk(partitioned: false);
        string recorded = files.CopyDisk(image);
        await using (RealServer first = await RealServers.Nbdkit(ServerTransport.Tcp, "file", recorded))
        {
            using BootMachine machine = BootMachine.Start(files.Initramfs, Arguments("nbdfuse=nbd://10.0.2.2:PORT rw nbdfuse.record", first));
            await machine.EndsWellAsync();
        }

        string log = image + ".log";
        string initramfs = files.MakeInitramfs("--prefetch", files.TakeFile(recorded, "trace"));
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "--filter=log", "--filter=delay", "file", image, "rdelay=20ms", $"logfile={log}");
        using BootMachine next = BootMachine.Start(initramfs, Arguments("nbdfuse=nbd://10.0.2.2:PORT rw nbdfuse.driver=fuse", server));
        await next.EndsWellAsync();

        Assert.Contains("ranges are read ahead by a trace", next.Console, StringComparison.Ordinal);
        Assert.Equal("synced\nunsynced\n", BootFiles.ReadBack(image, partitioned: false));
        Assert.True(BootFiles.MostReadsAtOnce(log) >= 4, File.ReadAllText(log));
    }


    [Fact]
    public async Task Wrong_export_is_named_and_the_machine_rebooted_when_that_is_asked_for()
    {
        Requires.Command("qemu-nbd");
        await using RealServer server = await RealServers.QemuNbd(new RealServerOptions { Transport = ServerTransport.Tcp, ExportName = "right" });
        using BootMachine machine = BootMachine.Start(files.Initramfs, Arguments("nbdroot=10.0.2.2:PORT/wrong nbdfuse.rescue=0", server));

        await machine.SaysAsync("the machine is rebooted");

        Assert.Contains("export \"wrong\": it has no such export", machine.Console, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Network_without_dhcp_is_named_before_the_rescue_shell()
    {
        using BootMachine machine = BootMachine.Start(files.Initramfs, "nbdroot=10.0.2.2/export", hasNetwork: false);

        await machine.SaysAsync("no answer from a DHCP server on eth0");
    }

    [Fact]
    public async Task Argument_that_cannot_be_understood_is_named_before_the_rescue_shell()
    {
        using BootMachine machine = BootMachine.Start(files.Initramfs, "nbdroot=ho!st/export");

        await machine.SaysAsync("a shell to look around");

        Assert.Contains("nbdroot=ho!st/export cannot be understood", machine.Console, StringComparison.Ordinal);
        Assert.Contains("nbdroot=[SERVER][:PORT][/EXPORT]", machine.Console, StringComparison.Ordinal);
    }

    [Fact]
    public void Initramfs_for_the_cloud_kernel_is_small_and_the_same_each_time()
    {
        byte[] first = File.ReadAllBytes(files.Initramfs);
        using var again = new BootFiles();

        Assert.InRange(first.Length, 1 << 20, 30 << 20);
        Assert.Equal(first, File.ReadAllBytes(again.Initramfs));
    }

    private async Task BootAsync(string arguments, string driver, bool partitioned, string device)
    {
        string image = files.MakeDisk(partitioned);
        string log = image + ".log";
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "--filter=log", "file", image, $"logfile={log}");
        using BootMachine machine = BootMachine.Start(files.Initramfs, Arguments($"{arguments} nbdfuse.driver={driver}", server));

        await machine.EndsWellAsync();

        string console = machine.Console;
        Assert.True(console.Contains($"BOOT root: {device} / ext4 rw", StringComparison.Ordinal), console);
        Assert.True(console.Contains("BOOT daemon: 1", StringComparison.Ordinal), console);
        Assert.Contains("inet 10.0.2.15/24", console, StringComparison.Ordinal);
        Assert.Contains("BOOT file: systemd/network/00-nbdfuse-root.network", console, StringComparison.Ordinal);
        Assert.Contains("BOOT file: initramfs/shutdown", console, StringComparison.Ordinal);
        Assert.DoesNotContain("is to be seen", console, StringComparison.Ordinal);
        Assert.Equal("synced\nunsynced\n", BootFiles.ReadBack(image, partitioned));
        Assert.True(BootFiles.IsFlushed(log), "The last write was not flushed.");
    }

    private static string Arguments(string text, RealServer server) =>
        text.Replace("PORT", $"{((IPEndPoint)server.EndPoint).Port}", StringComparison.Ordinal);
}
