using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests.Ublk;

/// <summary>A ublk device with users on it: what they do reaches the server, and what the server is reaches them.</summary>
public sealed class UblkDeviceTests(UblkGuest fixture) : IClassFixture<UblkGuest>
{
    private const long Size = 64 << 20;

    private static readonly TimeSpan Long = TimeSpan.FromMinutes(3);

    [Fact]
    public async Task Device_carries_a_file_system_that_the_server_has_afterwards()
    {
        Guest guest = await fixture.GuestAsync();
        await using UblkServer server = await UblkServer.StartAsync(Size);

        GuestResult result = await guest.RunAsync($"""
            dev=$(nbdfuse attach --driver ublk {server.Uri})
            mkfs.ext4 -q $dev
            mkdir -p /mnt/fs
            mount $dev /mnt/fs
            dd if=/dev/zero bs=1M count=8 2>/dev/null | tr '\0' x >/mnt/fs/file
            ! nbdfuse detach $dev 2>/run/busy
            grep -q "is mounted at /mnt/fs" /run/busy
            umount /mnt/fs
            e2fsck -fn $dev >/dev/null 2>&1
            nbdfuse detach $dev
            [ ! -e $dev ]
            [ ! -e /dev/ublkc0 ]
            [ -z "$(ls /run/nbdfuse)" ]
            ! pidof nbdfuse
            echo $dev
            """, Long);

        Assert.Equal("/dev/ublkb0\n", result.EnsureSuccess().Output);
        guest.AssertHealthy();
        Assert.True(server.EndsFlushed(), "the last write was not flushed");
        Tool.Run("e2fsck", "-fn", server.BackingFile).EnsureSuccess();
        Assert.Equal(new string('x', 8 << 20), Tool.Run("debugfs", "-R", "cat /file", server.BackingFile).EnsureSuccess().Output);
    }

    [Fact]
    public async Task Requests_of_all_sizes_are_verified_and_the_process_stays_small()
    {
        Guest guest = await fixture.GuestAsync();
        await using UblkServer server = await UblkServer.StartAsync(Size);

        GuestResult result = await guest.RunAsync($"""
            dev=$(nbdfuse attach --driver ublk {server.Uri})
            compiled=$(nbdfuse status --json | grep compiled-methods)
            fio --name=v --filename=$dev --rw=randwrite --bsrange=512-512k --ioengine=libaio --iodepth=64 --direct=1 \
                --verify=crc32c --do_verify=1 --verify_fatal=1 --size={Size} --io_size=24M >/run/fio.log 2>&1 || cat /run/fio.log
            blkdiscard -z -o 1M -l 1M $dev
            [ "$(nbdfuse status --json | grep compiled-methods)" = "$compiled" ]
            grep VmHWM /proc/$(sed -n 's/.*"worker":\([0-9]*\).*/\1/p' /run/nbdfuse/*/state.json)/status
            nbdfuse detach $dev
            """, Long);

        string[] words = result.EnsureSuccess().Output.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(["VmHWM:", "kB"], [words[0], words[2]]);
        Assert.InRange(int.Parse(words[1], System.Globalization.CultureInfo.InvariantCulture), 1, 96 * 1024);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Discard_zeroes_flush_and_fua_reach_the_server()
    {
        Guest guest = await fixture.GuestAsync();
        await using UblkServer server = await UblkServer.StartAsync(Size);

        GuestResult result = await guest.RunAsync($"""
            dev=$(nbdfuse attach --driver ublk {server.Uri})
            cat /sys/block/ublkb0/queue/write_cache /sys/block/ublkb0/queue/fua
            tr '\0' x </dev/zero | dd of=$dev bs=1M count=16 iflag=fullblock oflag=direct 2>/dev/null
            blkdiscard -o 1M -l 2M $dev
            blkdiscard -z -o 4M -l 3M $dev
            dd if=$dev bs=1M skip=4 count=3 iflag=direct 2>/dev/null | tr -d '\0' | wc -c
            dd if=$dev bs=1M skip=7 count=1 iflag=direct 2>/dev/null | tr -d x | wc -c
            fio --name=d --filename=$dev --rw=write --bs=4k --direct=1 --sync=dsync --ioengine=psync --offset=32M --size=16k >/dev/null
            nbdfuse detach $dev
            """, Long);

        Assert.Equal("write back\n1\n0\n0\n", result.EnsureSuccess().Output);
        Assert.Contains(server.Calls("Trim"), call => call.Contains("offset=0x100000 count=0x200000", StringComparison.Ordinal));
        Assert.Contains(server.Calls("Zero"), call => call.Contains("offset=0x400000 count=0x300000", StringComparison.Ordinal));
        Assert.NotEmpty(server.Calls("Flush"));
        Assert.Equal(4, server.Calls("Write").Count(call => call.Contains("fua=1", StringComparison.Ordinal)));
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Limits_and_blocks_are_those_of_the_export_and_an_odd_tail_is_told()
    {
        Guest guest = await fixture.GuestAsync();
        await using UblkServer server = await UblkServer.StartAsync(Size + 4096 + 512 + 100);

        GuestResult result = await guest.RunAsync($"""
            dev=$(nbdfuse attach --driver ublk --block-size 4096 {server.Uri} 2>/run/warning)
            cd /sys/block/ublkb0
            cat size ro queue/logical_block_size queue/physical_block_size queue/rotational
            nbdfuse detach $dev
            grep -c "cannot be reached" /run/warning
            dev=$(nbdfuse attach --driver ublk {server.Uri} 2>/dev/null)
            cat /sys/block/ublkb0/size
            nbdfuse detach $dev
            """, Long);

        Assert.Equal(
            [$"{(Size + 4096) / 512}", "0", "4096", "4096", "0", "1", $"{(Size + 4096 + 512) / 512}"],
            result.EnsureSuccess().Output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Read_only_device_is_read_and_never_written()
    {
        Guest guest = await fixture.GuestAsync();
        await using UblkServer server = await UblkServer.StartAsync(Size);

        GuestResult result = await guest.RunAsync($"""
            dev=$(nbdfuse attach --driver ublk --read-only {server.Uri})
            cat /sys/block/ublkb0/ro
            dd if=$dev of=/dev/null bs=1M count=4 2>/dev/null
            ! dd if=/dev/zero of=$dev bs=4k count=1 2>/dev/null
            ! blkdiscard $dev 2>/dev/null
            nbdfuse detach $dev
            """, Long);

        Assert.Equal("1\n", result.EnsureSuccess().Output);
        Assert.Empty(server.Changes());
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Partitions_exist_when_attach_returns()
    {
        Guest guest = await fixture.GuestAsync();
        await using UblkServer server = await UblkServer.StartAsync(Size);
        Tool.Run("bash", "-c", $"printf 'label: gpt\\n1MiB,16MiB\\n,\\n' | sfdisk -q {server.BackingFile}").EnsureSuccess();

        GuestResult result = await guest.RunAsync($"""
            dev=$(nbdfuse attach --driver ublk {server.Uri})
            ls /dev/ublkb*
            nbdfuse detach $dev
            ls /dev/ublkb* 2>/dev/null || true
            """, Long);

        Assert.Equal("/dev/ublkb0\n/dev/ublkb0p1\n/dev/ublkb0p2\n", result.EnsureSuccess().Output);
        guest.AssertHealthy();
    }

    [Fact]
    public async Task Device_that_only_the_kernel_knows_to_be_in_use_is_not_taken_down()
    {
        Guest guest = await fixture.GuestAsync();
        await using UblkServer server = await UblkServer.StartAsync(Size);

        // A lazily unmounted file system is in no table, and neither the name nor the node of a device must be what it was.
        GuestResult result = await guest.RunAsync($"""
            dev=$(nbdfuse attach --driver ublk {server.Uri})
            mkfs.ext4 -q $dev
            mkdir -p /mnt/hidden
            mount $dev /mnt/hidden
            exec 3>/mnt/hidden/open
            umount -l /mnt/hidden
            ! nbdfuse detach $dev 2>/run/busy
            grep -o "in use: by something that this process cannot see" /run/busy
            rm $dev
            ! nbdfuse detach $dev 2>/run/busy
            grep -o "in use" /run/busy
            kill -TERM $(sed -n 's/.*"pid":\([0-9]*\).*/\1/p' /run/nbdfuse/*/state.json)
            until grep -q "signal SIGTERM is ignored" /run/nbdfuse/*/log; do sleep 0.1; done
            kill -9 $(pidof nbdfuse)
            until [ -z "$(pidof nbdfuse)" ]; do sleep 0.1; done
            ! nbdfuse detach $dev 2>/run/busy
            grep -o "in use" /run/busy
            nbdfuse attach --recover $dev 3>&-
            echo kept >&3
            exec 3>&-
            until nbdfuse detach $dev 2>/run/busy; do grep -q "in use" /run/busy; sleep 0.1; done
            [ ! -e $dev ]
            [ -z "$(ls -d /run/nbdfuse/*/ 2>/dev/null)" ]
            """, Long);

        Assert.Equal(
            "in use: by something that this process cannot see\nin use\nin use\n/dev/ublkb0\n", result.EnsureSuccess().Output);
        guest.AssertHealthy(KernelProblemKind.HungTask);
        Assert.Equal("kept\n", Tool.Run("debugfs", "-R", "cat /open", server.BackingFile).EnsureSuccess().Output);
    }

    [Fact]
    public async Task Missing_module_is_told_with_its_remedy()
    {
        Guest guest = await fixture.GuestAsync();
        await using UblkServer server = await UblkServer.StartAsync(Size);

        GuestResult result = await guest.RunAsync($"""
            rmmod ublk_drv
            nbdfuse attach --driver ublk {server.Uri} || echo code $?
            modprobe ublk_drv
            """, Long);

        Assert.Equal("code 1\n", result.EnsureSuccess().Output);
        Assert.Contains("modprobe ublk_drv", result.Error, StringComparison.Ordinal);
    }
}
