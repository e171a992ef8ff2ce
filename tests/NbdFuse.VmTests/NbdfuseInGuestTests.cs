using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests;

/// <summary>Our program in a guest, with servers of this machine: what the tests of the drivers stand on.</summary>
public sealed class NbdfuseInGuestTests(NbdfuseInGuestTests.StorageGuest fixture) : IClassFixture<NbdfuseInGuestTests.StorageGuest>
{
    private const string GuestPlugin = "/lib/nbdkit-file-plugin.so";

    [Fact]
    public async Task Info_describes_an_export_of_the_host()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 12 << 20 });

        GuestResult result = await guest.RunAsync($"nbdfuse info --size {Guest.UriOf(server)}");

        Assert.Equal("12582912\n", result.EnsureSuccess().Output);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Mounted_file_carries_a_filesystem_on_a_loop_device()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 64 << 20 });

        GuestResult result = await guest.RunAsync($$"""
            mkdir -p /mnt/nbd /mnt/fs
            nbdfuse --pidfile /run/nbdfuse.pid /mnt/nbd {{Guest.UriOf(server)}} &
            until [ -s /run/nbdfuse.pid ]; do sleep 0.1; kill -0 $!; done
            loop=$(losetup --find --show --direct-io=on /mnt/nbd/nbd)
            cat /sys/block/${loop#/dev/}/loop/dio
            mkfs.ext4 -q $loop
            mount $loop /mnt/fs
            dd if=/dev/zero bs=1M count=8 | tr '\0' x >/mnt/fs/file
            umount /mnt/fs
            e2fsck -fn $loop >/dev/null 2>&1
            losetup --detach $loop
            umount /mnt/nbd
            wait
            """);

        Assert.Equal("1\n", result.EnsureSuccess().Output);
        guest.AssertHealthy();
        Tool.Run("e2fsck", "-fn", server.BackingFile!).EnsureSuccess();
        string content = Tool.Run("debugfs", "-R", "cat /file", server.BackingFile!).EnsureSuccess().Output;
        Assert.Equal(new string('x', 8 << 20), content);
    }

    [Fact]
    public async Task Export_is_read_and_written_over_vsock()
    {
        Guest guest = await fixture.GuestAsync();

        GuestResult result = await guest.RunAsync($$"""
            truncate -s 16M /run/vsock.img
            nbdkit --vsock --port 10900 --pidfile /run/vsock.pid --foreground {{GuestPlugin}} /run/vsock.img </dev/null >/run/vsock.log 2>&1 &
            until [ -s /run/vsock.pid ]; do sleep 0.1; kill -0 $! || { cat /run/vsock.log >&2; exit 1; }; done
            nbdfuse info --size nbd+vsock://1:10900/
            mkdir -p /mnt/vsock
            nbdfuse --pidfile /run/vsock-mount.pid /mnt/vsock nbd+vsock://1:10900/ &
            mount=$!
            until [ -s /run/vsock-mount.pid ]; do sleep 0.1; kill -0 $mount; done
            echo over vsock | dd of=/mnt/vsock/nbd conv=notrunc,fsync 2>/dev/null
            umount /mnt/vsock
            wait $mount
            nbdfuse --pidfile /run/vsock-again.pid /mnt/vsock nbd+vsock://1:10900/ &
            mount=$!
            until [ -s /run/vsock-again.pid ]; do sleep 0.1; kill -0 $mount; done
            head -n 1 /mnt/vsock/nbd
            umount /mnt/vsock
            wait $mount
            kill $(cat /run/vsock.pid)
            """);

        Assert.Equal("16777216\nover vsock\n", result.EnsureSuccess().Output);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Kernels_own_driver_carries_a_filesystem()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 64 << 20 });

        GuestResult result = await guest.RunAsync($"""
            mkdir -p /mnt/fs
            nbd-client 10.0.2.2 {Guest.EndPointOf(server.EndPoint).Port} /dev/nbd0
            until [ $(cat /sys/block/nbd0/size) -gt 0 ]; do sleep 0.1; done
            mkfs.ext4 -q /dev/nbd0
            mount /dev/nbd0 /mnt/fs
            echo kept >/mnt/fs/file
            umount /mnt/fs
            e2fsck -fn /dev/nbd0
            nbd-client -d /dev/nbd0
            """);

        result.EnsureSuccess();
        guest.AssertHealthy();
        Tool.Run("e2fsck", "-fn", server.BackingFile!).EnsureSuccess();
        Assert.Equal("kept\n", Tool.Run("debugfs", "-R", "cat /file", server.BackingFile!).EnsureSuccess().Output);
    }

    [Fact]
    public async Task Module_of_ublk_gives_its_control_device()
    {
        Guest guest = await fixture.GuestAsync();

        GuestResult result = await guest.RunAsync("""
            [ ! -e /dev/ublk-control ]
            modprobe ublk_drv
            ls /dev/ublk-control
            rmmod ublk_drv
            [ ! -e /dev/ublk-control ]
            """);

        Assert.Equal("/dev/ublk-control\n", result.EnsureSuccess().Output);
    }

    [Fact]
    public async Task Server_that_dies_is_told_by_the_kernel_of_the_guest()
    {
        // The nbd driver without anybody who reconnects it: the errors that AssertHealthy looks for.
        await using Guest guest = await Guest.StartAsync(new GuestOptions { Modules = ["nbd nbds_max=1"], Programs = ["nbd-client"] });
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 64 << 20 });
        (await guest.RunAsync($"""
            nbd-client 10.0.2.2 {Guest.EndPointOf(server.EndPoint).Port} /dev/nbd0
            until [ $(cat /sys/block/nbd0/size) -gt 0 ]; do sleep 0.1; done
            dd if=/dev/nbd0 of=/dev/null bs=4k count=1 iflag=direct
            """)).EnsureSuccess();

        server.Kill();
        GuestResult result = await guest.RunAsync("dd if=/dev/nbd0 of=/dev/null bs=4k count=1 skip=100 iflag=direct");

        Assert.NotEqual(0, result.ExitCode);
        Assert.Contains(guest.Problems, static problem => problem.Kind == KernelProblemKind.IoError);
        await guest.ShutDownAsync(KernelProblemKind.IoError);
    }

    /// <summary>A guest with the kernel's drivers, and the programs for filesystems.</summary>
    public sealed class StorageGuest() : GuestFixture(new GuestOptions
    {
        Modules = ["nbd nbds_max=2", "vsock_loopback"],
        AvailableModules = ["ublk_drv"],
        Programs = ["losetup", "mkfs.ext4", "e2fsck", "nbd-client", "nbdkit"],
        Files = [new GuestFile(GuestPlugin, File.ReadAllBytes(HostPlugin()))],
    });

    private static string HostPlugin()
    {
        string? plugin = Directory.GetDirectories("/usr/lib", "*-linux-gnu")
            .Select(folder => Path.Combine(folder, "nbdkit/plugins/nbdkit-file-plugin.so"))
            .FirstOrDefault(File.Exists);
        if (plugin is null)
        {
            Requires.Missing("nbdkit", "nbdkit-file-plugin.so is not below /usr/lib");
        }

        return plugin!;
    }
}
