using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests.Ublk;

/// <summary>Ends by force: users get errors, in a guest of their own, and nothing is left.</summary>
public sealed class UblkForcedEndTests(UblkGuest fixture) : IClassFixture<UblkGuest>
{
    private const long Size = 64 << 20;

    private static readonly TimeSpan Long = TimeSpan.FromMinutes(3);

    [Fact]
    public async Task Forced_detach_ends_under_load_and_leaves_nothing()
    {
        Guest guest = await fixture.GuestAsync();
        await using UblkServer server = await UblkServer.StartAsync(Size);
        string device = (await guest.RunAsync($"nbdfuse attach --driver ublk {server.Uri}", Long)).EnsureSuccess().Output.Trim();
        Task<GuestResult> load = guest.RunAsync(
            $"fio --name=l --filename={device} --rw=randwrite --bs=4k --ioengine=libaio --iodepth=32 --direct=1 --size=32M --time_based --runtime=120 >/run/load.log 2>&1",
            Long);
        await UblkGuest.UntilWrittenAsync(guest);

        GuestResult result = await guest.RunAsync($"""
            ! nbdfuse detach {device} 2>/run/busy
            grep -q fio /run/busy
            nbdfuse detach --force {device}
            [ ! -e {device} ]
            [ -z "$(ls /run/nbdfuse)" ]
            ! pidof nbdfuse
            """, Long);

        result.EnsureSuccess();
        Assert.NotEqual(0, (await load).ExitCode);
        (await guest.RunAsync("[ ! -e /dev/ublkc0 ]; nbdfuse status")).EnsureSuccess();
        guest.AssertHealthy(KernelProblemKind.IoError);
    }

    [Fact]
    public async Task Device_of_a_killed_process_can_be_given_up()
    {
        Guest guest = await fixture.GuestAsync();
        await using UblkServer server = await UblkServer.StartAsync(Size);

        GuestResult result = await guest.RunAsync($"""
            dev=$(nbdfuse attach --driver ublk {server.Uri})
            kill -9 $(pidof nbdfuse)
            until [ -z "$(pidof nbdfuse)" ]; do sleep 0.1; done
            dd if=$dev of=/dev/null bs=4k count=1 iflag=direct 2>/run/dd &
            until [ "$(awk '$3 == "ublkb0"' /proc/diskstats | wc -l)" = 1 ] && pidof dd >/dev/null; do sleep 0.1; done
            nbdfuse detach --force $dev 2>/dev/null
            wait $! && exit 1
            [ ! -e $dev ]
            [ -z "$(ls /run/nbdfuse)" ]
            """, Long);

        result.EnsureSuccess();
        guest.AssertHealthy(KernelProblemKind.IoError);
    }
}
