using System.Globalization;
using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests;

/// <summary>The driver fuse as root of a whole machine: rights that a container lacks.</summary>
public sealed class LoopInGuestTests
{
    [Fact]
    public async Task All_guarantees_are_in_force_where_root_has_all_rights()
    {
        await using Guest guest = await Guest.StartAsync(new GuestOptions());
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 8 << 20 });
        GuestResult result = await guest.RunAsync($$"""
            dev=$(nbdfuse attach --driver fuse {{Guest.UriOf(server)}})
            nbdfuse status
            for name in pid worker; do
                pid=$(sed -n "s/.*\"$name\":\([0-9]*\).*/\1/p" /run/nbdfuse/*/state.json)
                cat /proc/$pid/oom_score_adj
                for task in /proc/$pid/task/*; do echo task $(sed 's/.*) //' $task/stat | cut -d' ' -f7); done
            done
            nbdfuse detach $dev
            """);

        string[] lines = result.EnsureSuccess().Output.Split('\n');
        Assert.Equal(
            "    guarantees: memory-locked io-flusher oom-protected no-core-dump precompiled direct-io buffers-touched flush recovery",
            lines.Single(line => line.Contains("guarantees:", StringComparison.Ordinal)));
        Assert.DoesNotContain(lines, line => line.Contains("not in force:", StringComparison.Ordinal));
        Assert.Equal(2, lines.Count(line => line == "-1000"));

        // PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE (linux/sched.h) on every thread, those of the runtime included.
        long[] flags = [.. lines.Where(line => line.StartsWith("task ", StringComparison.Ordinal)).Select(line => long.Parse(line[5..], CultureInfo.InvariantCulture))];
        Assert.True(flags.Length > 4, $"{flags.Length} threads");
        Assert.All(flags, flag => Assert.Equal(0x180000, flag & 0x180000));
        await guest.ShutDownAsync();
    }
}
