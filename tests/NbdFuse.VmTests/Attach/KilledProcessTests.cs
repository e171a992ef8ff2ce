using System.Globalization;
using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests;

/// <summary>
/// Processes killed at random moments of attaching and detaching: nothing may be left in the whole machine. (AttachSoakTests of the
/// mount suite does more of it for the driver fuse, where there are others at the same time.)
/// </summary>
public sealed class KilledProcessTests
{
    // What the kernel has of a driver's devices, those included that were never started. A device of ublk shows in its class.
    private const string UblkDevices = "ls /sys/class/ublk-char | sed 's,ublkc,/dev/ublkb,'";
    private const string LoopDevices = "for d in /sys/block/loop*/loop; do [ ! -e $d ] || { d=${d%/loop}; echo /dev/${d##*/}; }; done";
    private const string NbdDevices = "for d in /sys/block/nbd*; do [ ! -e $d/pid ] && [ \"$(cat $d/size)\" = 0 ] || echo /dev/${d##*/}; done";

    private const int Rounds = 200;

    private static readonly TimeSpan RoundTimeout = TimeSpan.FromMinutes(2);

    [Theory]
    [InlineData("fuse", "loop", LoopDevices)]
    [InlineData("ublk", "ublk_drv", UblkDevices)]
    [InlineData("nbd", "nbd", NbdDevices)]
    public async Task Processes_killed_at_random_moments_leave_nothing_behind(string driver, string module, string devices)
    {
        Requires.Soak("kills processes at random moments, for a long time.");
        int seed = int.TryParse(Environment.GetEnvironmentVariable("NBDFUSE_TEST_SEED"), out int given) ? given : Environment.TickCount;
        TestContext.Current.TestOutputHelper?.WriteLine($"NBDFUSE_TEST_SEED={seed}");
        var random = new Random(seed);
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 8 << 20 });
        await Guest.UseAsync(new GuestOptions { Modules = [module] }, guest => RunAsync(guest, server, driver, module, devices, random));
    }

    private static async Task RunAsync(
        Guest guest, RealServer server, string driver, string module, string devices, Random random)
    {
        string attach = $"nbdfuse attach --driver {driver} {Guest.UriOf(server)}";

        // Whoever is still bringing a device up takes it down by itself when its command was killed, or is told to.
        GuestResult before = await guest.RunAsync($$"""
            cat >/run/settle <<'END'
            devices() { {{devices}}; }
            while [ -n "$(devices)" ] || pidof nbdfuse >/dev/null; do
                for device in $(devices); do nbdfuse detach --force $device >/run/last 2>&1 || true; done
                sleep 0.2
            done
            END
            now() { sed 's/ .*//; s/\.//' /proc/uptime; }
            start=$(now)
            dev=$({{attach}})
            middle=$(now)
            nbdfuse detach $dev
            echo $(((middle - start) * 10)) $((($(now) - middle) * 10))
            wc -l </proc/mounts
            cut -f1 /proc/sys/fs/file-nr
            """);
        string[] lines = before.EnsureSuccess().Output.Split('\n');
        int[] durations = [.. lines[0].Split(' ').Select(word => int.Parse(word, CultureInfo.InvariantCulture))];
        for (int round = 0; round < Rounds; round++)
        {
            // Any of the processes that there are then: the command, its daemon, or what that has started.
            bool isDetach = round % 2 == 1;
            string moment = (random.Next(durations[isDetach ? 1 : 0]) / 1000.0).ToString("0.000", CultureInfo.InvariantCulture);
            string script = $$"""
                {{(isDetach ? $"dev=$({attach})" : ":")}}
                {{(isDetach ? "nbdfuse detach $dev" : attach)}} >/run/out 2>&1 &
                sleep {{moment}}
                set -- $(pidof nbdfuse)
                [ $# = 0 ] || shift $(({{random.Next(1 << 16)}} % $#))
                [ $# = 0 ] || kill -9 $1 || true
                wait $! || true
                sh /run/settle
                """;
            (await guest.RunAsync(script, RoundTimeout)).EnsureSuccess();
        }

        // One that nobody disturbs, which also removes the entries of those that never had a device. Without leaks the module can go.
        GuestResult after = await guest.RunAsync(
            $$"""
            dev=$({{attach}})
            nbdfuse detach $dev
            ls /run/nbdfuse/*/state.json 2>/dev/null || true
            pidof nbdfuse || true
            [ $(wc -l </proc/mounts) = {{lines[1]}} ]
            until [ $(cut -f1 /proc/sys/fs/file-nr) -le $(({{lines[2]}} + 4)) ]; do sleep 0.2; done
            rmmod {{module}}
            """,
            RoundTimeout);
        Assert.Equal(string.Empty, after.EnsureSuccess().Output);

        // Requests of a device that is given up fail.
        guest.AssertHealthy(KernelProblemKind.IoError);
    }
}
