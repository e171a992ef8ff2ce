using System.Globalization;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Attach;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests.KernelNbd;

/// <summary>Devices of the kernel's nbd driver, from attaching to detaching, over real servers.</summary>
public sealed class KernelNbdUseTests(KernelNbdGuest fixture) : IClassFixture<KernelNbdGuest>
{
    [Theory]
    [InlineData(RealServerKind.Nbdkit)]
    [InlineData(RealServerKind.NbdServer)]
    [InlineData(RealServerKind.QemuNbd)]
    public async Task File_system_is_made_used_and_whole_after_detaching(RealServerKind kind)
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.StartAsync(kind, new RealServerOptions { Transport = ServerTransport.Tcp, Size = 64 << 20 });

        GuestResult result = await guest.RunAsync($"""
            dev=$(nbdfuse attach --driver nbd '{Guest.UriOf(server)}')
            mkfs.ext4 -q $dev
            mkdir -p /mnt/a
            mount $dev /mnt/a
            dd if=/dev/urandom of=/mnt/a/file bs=64k count=64 2>/dev/null
            md5sum </mnt/a/file >/tmp/sum
            umount /mnt/a
            nbdfuse detach $dev
            cat /sys/block/${"{"}dev#/dev/{"}"}/size
            nbd-client 10.0.2.2 {PortOf(server)} /dev/nbd3 -N '{server.ExportName}' >/dev/null 2>&1
            e2fsck -fn /dev/nbd3 >/dev/null
            mount -o ro /dev/nbd3 /mnt/a
            md5sum </mnt/a/file | cmp - /tmp/sum && echo same
            umount /mnt/a
            nbd-client -d /dev/nbd3 >/dev/null 2>&1
            """, TimeSpan.FromMinutes(2));

        Assert.Equal("0\nsame\n", result.EnsureSuccess().Output);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Device_is_what_nbd_client_makes_of_the_same_export()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.NbdkitFile(
            new RealServerOptions { Transport = ServerTransport.Tcp, Size = 16 << 20, Content = PatternData.Create(5, 0, 16 << 20) });

        GuestResult result = await guest.RunAsync($$"""
            dev=$(nbdfuse attach --driver nbd --read-only -C 2 '{{Guest.UriOf(server)}}')
            nbd-client 10.0.2.2 {{PortOf(server)}} /dev/nbd3 -N '' -R -C 2 >/dev/null 2>&1 || nbd-client 10.0.2.2 {{PortOf(server)}} /dev/nbd3 -N '' -R >/dev/null 2>&1
            cmp $dev /dev/nbd3
            ours=/sys/block/${dev#/dev/}
            for f in size ro queue/logical_block_size queue/physical_block_size queue/write_cache queue/fua queue/rotational; do
                [ "$(cat $ours/$f)" = "$(cat /sys/block/nbd3/$f)" ] || echo "$f: $(cat $ours/$f) and $(cat /sys/block/nbd3/$f)"
            done
            cat $ours/ro
            dd if=/dev/zero of=$dev bs=4k count=1 2>/dev/null || echo refused
            nbd-client -d /dev/nbd3 >/dev/null 2>&1
            nbdfuse detach $dev
            """, TimeSpan.FromMinutes(2));

        Assert.Equal("1\nrefused\n", result.EnsureSuccess().Output);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Partitions_are_there_also_those_of_a_disk_with_blocks_of_4096()
    {
        Guest guest = await fixture.GuestAsync();
        byte[] small = PartitionImage.Gpt(16 << 20, 512, (1, 2048, 4095), (2, 8192, 16383));
        byte[] large = PartitionImage.Gpt(16 << 20, 4096, (1, 256, 511));
        await using RealServer first = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = small.Length, Content = small });
        await using RealServer second = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = large.Length, Content = large });

        GuestResult result = await guest.RunAsync($$"""
            dev=$(nbdfuse attach --driver nbd '{{Guest.UriOf(first)}}')
            cat /sys/block/${dev#/dev/}/${dev#/dev/}p1/size /sys/block/${dev#/dev/}/${dev#/dev/}p2/size
            [ -b ${dev}p1 ] && [ -b ${dev}p2 ]
            nbdfuse detach $dev
            ls ${dev}p* 2>/dev/null || true
            dev=$(nbdfuse attach --driver nbd '{{Guest.UriOf(second)}}')
            cat /sys/block/${dev#/dev/}/queue/logical_block_size /sys/block/${dev#/dev/}/${dev#/dev/}p1/size
            nbdfuse detach $dev
            """, TimeSpan.FromMinutes(2));

        Assert.Equal("2048\n8192\n4096\n2048\n", result.EnsureSuccess().Output);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Block_sizes_of_the_server_bound_those_of_the_device()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.Nbdkit(
            ServerTransport.Tcp,
            "--filter=blocksize-policy", "memory", "16M", "blocksize-minimum=4096", "blocksize-preferred=4096", "blocksize-maximum=64k",
            "blocksize-error-policy=error");
        await using RealServer coarse = await RealServers.Nbdkit(
            ServerTransport.Tcp, "--filter=blocksize-policy", "memory", "16M", "blocksize-minimum=64k", "blocksize-preferred=64k");

        GuestResult result = await guest.RunAsync($$"""
            dev=$(nbdfuse attach --driver nbd '{{Guest.UriOf(server)}}')
            cat /sys/block/${dev#/dev/}/queue/logical_block_size /sys/block/${dev#/dev/}/queue/max_sectors_kb
            dd if=/dev/urandom of=$dev bs=1M count=8 oflag=direct 2>/dev/null
            dd if=$dev of=/dev/null bs=1M iflag=direct 2>/dev/null
            nbdfuse detach $dev
            nbdfuse attach --driver nbd '{{Guest.UriOf(coarse)}}' || true
            """, TimeSpan.FromMinutes(2));

        Assert.Equal("4096\n64\n", result.EnsureSuccess().Output);
        Assert.Contains("at least 65536 bytes", result.Error, StringComparison.Ordinal);
        Assert.Contains("--driver ublk", result.Error, StringComparison.Ordinal);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Device_in_use_is_not_detached_and_a_taken_one_not_attached()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 16 << 20 });

        GuestResult result = await guest.RunAsync($"""
            nbdfuse attach --driver nbd --device /dev/nbd2 '{Guest.UriOf(server)}'
            mkfs.ext4 -q /dev/nbd2
            mkdir -p /mnt/b
            mount /dev/nbd2 /mnt/b
            nbdfuse detach /dev/nbd2 || true
            nbdfuse attach --driver nbd --device /dev/nbd2 '{Guest.UriOf(server)}' || true
            echo alive >/mnt/b/file
            nbdfuse detach /mnt/b
            grep -c /mnt/b /proc/mounts || true
            cat /sys/block/nbd2/size
            """, TimeSpan.FromMinutes(2));

        Assert.Equal("/dev/nbd2\n0\n0\n", result.EnsureSuccess().Output);
        Assert.Contains("/dev/nbd2 is mounted at /mnt/b", result.Error, StringComparison.Ordinal);
        Assert.Contains("/dev/nbd2 is in use already", result.Error, StringComparison.Ordinal);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Device_beyond_those_of_the_module_comes_and_goes()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "16M");

        GuestResult result = await guest.RunAsync($"""
            nbdfuse attach --driver nbd --no-supervisor --device /dev/nbd9 '{Guest.UriOf(server)}'
            [ -b /dev/nbd9 ]
            ! pidof nbdfuse >/dev/null
            dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null
            dd if=/tmp/data of=/dev/nbd9 bs=1M conv=fsync 2>/dev/null
            dd if=/dev/nbd9 bs=1M count=4 iflag=direct 2>/dev/null | cmp - /tmp/data
            nbdfuse status | awk '{"{"}print $1, $2, $3, $4, $6, $7{"}"}' | sed -n 2p
            nbdfuse detach /dev/nbd9
            nbdfuse status
            ls -d /sys/block/nbd9 /dev/nbd9 2>/dev/null || true
            """, TimeSpan.FromMinutes(2));

        Assert.Equal("/dev/nbd9\n/dev/nbd9 nbd unsupervised 16MiB 4 0\nnothing is attached\n", result.EnsureSuccess().Output);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Old_interface_works_where_there_is_no_netlink()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 16 << 20 });

        GuestResult result = await guest.RunAsync($"""
            export NBDFUSE_NBD_IOCTL=1
            dev=$(nbdfuse attach --driver nbd '{Guest.UriOf(server)}')
            ls /sys/block/nbd0/backend 2>/dev/null || echo by ioctl
            mkfs.ext4 -q $dev
            e2fsck -fn $dev >/dev/null 2>&1
            nbdfuse detach $dev
            cat /sys/block/nbd0/size
            nbdfuse status
            pidof nbdfuse || true
            """, TimeSpan.FromMinutes(2));

        Assert.Equal("by ioctl\n0\nnothing is attached\n", result.EnsureSuccess().Output);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Device_of_somebody_else_is_not_taken_for_ours_by_the_old_interface()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "16M");

        GuestResult result = await guest.RunAsync($"""
            nbd-client 10.0.2.2 {PortOf(server)} /dev/nbd1 -N '' >/dev/null 2>&1
            until [ $(cat /sys/block/nbd1/size) -gt 0 ]; do sleep 0.1; done
            NBDFUSE_NBD_IOCTL=1 nbdfuse attach --driver nbd --device /dev/nbd1 '{Guest.UriOf(server)}' || echo refused
            dd if=/dev/urandom of=/dev/nbd1 bs=64k count=16 oflag=direct 2>/dev/null
            cat /sys/block/nbd1/size
            nbdfuse status
            nbd-client -d /dev/nbd1 >/dev/null 2>&1
            """, TimeSpan.FromMinutes(2));

        Assert.Equal("refused\n32768\nnothing is attached\n", result.EnsureSuccess().Output);
        Assert.Contains("/dev/nbd1 is in use already", result.Error, StringComparison.Ordinal);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Force_leaves_no_partitions_for_the_next_user_of_the_number()
    {
        Guest guest = await fixture.GuestAsync();
        byte[] disk = PartitionImage.Gpt(16 << 20, 512, (1, 2048, 4095), (2, 8192, 16383));
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = disk.Length, Content = disk });

        GuestResult result = await guest.RunAsync($"""
            nbdfuse attach --driver nbd --device /dev/nbd2 '{Guest.UriOf(server)}'
            [ -b /dev/nbd2p1 ] && [ -b /dev/nbd2p2 ]
            nbdfuse detach --force /dev/nbd2
            ls -d /dev/nbd2p* /sys/block/nbd2/nbd2p* 2>/dev/null || true
            cat /sys/block/nbd2/size
            """, TimeSpan.FromMinutes(2));

        Assert.Equal("/dev/nbd2\n0\n", result.EnsureSuccess().Output);
        guest.AssertHealthy(KernelProblemKind.IoError);
    }

    private static string PortOf(RealServer server) => Guest.EndPointOf(server.EndPoint).Port.ToString(CultureInfo.InvariantCulture);
}
