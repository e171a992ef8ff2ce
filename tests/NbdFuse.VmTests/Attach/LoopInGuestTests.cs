using System.Globalization;
using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests;

/// <summary>The driver fuse as root of a whole machine: rights that a container lacks, and too little memory.</summary>
public sealed class LoopInGuestTests
{
    [Fact]
    public async Task All_guarantees_but_recovery_are_in_force_where_root_has_all_rights()
    {
        await using Guest guest = await Guest.StartAsync(new GuestOptions());
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 8 << 20 });
        GuestResult result = await guest.RunAsync($$"""
            dev=$(nbdfuse attach --driver fuse {{Guest.UriOf(server)}})
            nbdfuse status
            pid=$(sed -n 's/.*"pid":\([0-9]*\).*/\1/p' /run/nbdfuse/*/state.json)
            cat /proc/$pid/oom_score_adj
            for task in /proc/$pid/task/*; do echo task $(sed 's/.*) //' $task/stat | cut -d' ' -f7); done
            nbdfuse detach $dev
            """);

        string[] lines = result.EnsureSuccess().Output.Split('\n');
        Assert.Equal(
            "    guarantees: memory-locked io-flusher oom-protected no-core-dump precompiled direct-io buffers-touched flush",
            lines.Single(line => line.Contains("guarantees:", StringComparison.Ordinal)));
        Assert.Single(lines, line => line.Contains("not in force:", StringComparison.Ordinal));
        Assert.Contains("-1000", lines);

        // PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE (linux/sched.h) on every thread, those of the runtime included.
        long[] flags = [.. lines.Where(line => line.StartsWith("task ", StringComparison.Ordinal)).Select(line => long.Parse(line[5..], CultureInfo.InvariantCulture))];
        Assert.True(flags.Length > 4, $"{flags.Length} threads");
        Assert.All(flags, flag => Assert.Equal(0x180000, flag & 0x180000));
        await guest.ShutDownAsync();
    }

    // Not in the suite: under emulation on a busy machine it has not come to its end yet, for a reason that is not known.
    [Fact(Explicit = true)]
    public async Task Machine_with_little_memory_writes_through_the_device_without_a_hang()
    {
        await using Guest guest = await Guest.StartAsync(new GuestOptions { MemoryMiB = 192, Programs = ["mkfs.ext4", "e2fsck"] });
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 128 << 20 });

        // What memory is left but for 24 MiB is taken by files in memory, which cannot be taken back; then more is written than
        // there is memory, so that every page must be written back, through us, before the next.
        GuestResult result = await guest.RunAsync(
            $$"""
            mkdir -p /mnt/fs
            dev=$(nbdfuse attach --driver fuse {{Guest.UriOf(server)}})
            mkfs.ext4 -q $dev
            mount $dev /mnt/fs
            pid=$(sed -n 's/.*"pid":\([0-9]*\).*/\1/p' /run/nbdfuse/*/state.json)
            available=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
            hog=$((available / 1024 - 24))
            mkdir /hog
            mount -t tmpfs -o size=100% none /hog
            [ $hog -le 0 ] || dd if=/dev/zero of=/hog/file bs=1M count=$hog 2>/dev/null
            end=$(($(cut -d. -f1 /proc/uptime) + 30))
            rounds=0
            while [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do
                dd if=/dev/zero of=/mnt/fs/a bs=64k count=640 2>/dev/null & a=$!
                dd if=/dev/zero of=/mnt/fs/b bs=4k count=2560 2>/dev/null & b=$!
                wait $a; wait $b
                rounds=$((rounds + 1))
            done
            umount /hog
            sync
            echo rounds $rounds
            grep VmHWM /proc/$pid/status
            umount /mnt/fs
            e2fsck -fn $dev >/dev/null 2>&1
            nbdfuse detach $dev
            """,
            TimeSpan.FromSeconds(150));

        string[] lines = result.EnsureSuccess().Output.Split('\n');
        int rounds = int.Parse(lines.Single(line => line.StartsWith("rounds ", StringComparison.Ordinal))[7..], CultureInfo.InvariantCulture);
        Assert.True(rounds > 0, "nothing was written");
        string peak = lines.Single(line => line.StartsWith("VmHWM", StringComparison.Ordinal));
        long kibibytes = long.Parse(string.Concat(peak.Where(char.IsAsciiDigit)), CultureInfo.InvariantCulture);
        Assert.InRange(kibibytes, 1, 96 * 1024);
        guest.AssertHealthy();
        Tool.Run("e2fsck", "-fn", server.BackingFile!).EnsureSuccess();
        await guest.ShutDownAsync();
    }
}
