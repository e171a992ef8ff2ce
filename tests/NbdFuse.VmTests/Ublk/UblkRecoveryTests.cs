using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests.Ublk;

/// <summary>A device outlives its process, and another one goes on with it.</summary>
public sealed class UblkRecoveryTests(UblkGuest fixture) : IClassFixture<UblkGuest>
{
    private const long Size = 64 << 20;

    private static readonly TimeSpan Long = TimeSpan.FromMinutes(3);

    // The guest's kernel may oops in the exit of the killed process (KernelProblemKind.UblkCancelRace), about once in ten runs; that
    // the harness knows this for the kernel's own fault has not been seen yet, so it is not in the ordinary run.
    [Fact]
    public Task Device_of_a_killed_process_goes_on_under_load_without_an_error() => fixture.UseAsync(async guest =>
    {
        Requires.Soak("kills a process under load.");
        await using UblkServer server = await UblkServer.StartAsync(Size);
        string device = (await guest.RunAsync($"nbdfuse attach --driver ublk {server.Uri}", Long)).EnsureSuccess().Output.Trim();
        Task<GuestResult> load = guest.RunAsync(
            $"fio --name=l --filename={device} --rw=randwrite --bs=4k --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c --do_verify=1 "
            + "--verify_fatal=1 --size=32M --io_size=12M >/run/load.log 2>&1 || { cat /run/load.log; exit 1; }",
            Long);
        await UblkGuest.UntilWrittenAsync(guest);

        GuestResult result = await guest.RunAsync($"""
            kill -9 $(pidof nbdfuse)
            until [ -z "$(pidof nbdfuse)" ]; do sleep 0.1; done
            nbdfuse status | grep -o stale
            ! nbdfuse detach {device} 2>/dev/null
            nbdfuse attach --recover {device}
            """, Long);

        Assert.Equal($"stale\n{device}\n", result.EnsureSuccess().Output);
        (await load).EnsureSuccess();
        result = await guest.RunAsync($"""
            nbdfuse status | grep -c online
            nbdfuse detach {device}
            [ ! -e {device} ]
            [ -z "$(ls /run/nbdfuse)" ]
            """, Long);
        Assert.Equal("1\n", result.EnsureSuccess().Output);

        // As long as nobody serves the device, its users hang.
        guest.AssertHealthy(KernelProblemKind.HungTask);
    });

    [Fact]
    public async Task Device_of_a_killed_process_is_gone_on_with_by_its_keeper()
    {
        Requires.Soak("kills a process three times, at which Linux 6.12 in the guest can crash by a defect of its own.");
        Guest guest = await fixture.GuestAsync();
        await using UblkServer server = await UblkServer.StartAsync(Size);
        string device = (await guest.RunAsync($"nbdfuse attach --driver ublk {server.Uri}", Long)).EnsureSuccess().Output.Trim();
        GuestResult result = await guest.RunAsync($$"""
            worker() { sed -n 's/.*"worker":\([0-9]*\).*/\1/p' /run/nbdfuse/*/state.json; }
            for i in 1 2 3; do
                old=$(worker)
                printf kept$i | dd of={{device}} bs=512 conv=sync,fsync oflag=direct 2>/dev/null
                kill -9 $old
                dd if={{device}} bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\0'
                until [ "$(worker)" != "$old" ]; do sleep 0.1; done
                printf ' '
            done
            nbdfuse status | grep -o online
            nbdfuse upgrade {{device}} 2>&1 | grep -o 'not handed over on purpose'
            nbdfuse detach {{device}}
            [ ! -e {{device}} ]
            [ -z "$(ls /run/nbdfuse)" ]
            [ -z "$(pidof nbdfuse)" ]
            """, Long);
        Assert.Equal("kept1 kept2 kept3 online\nnot handed over on purpose\n", result.EnsureSuccess().Output);

        // While nobody serves the device, its users hang.
        guest.AssertHealthy(KernelProblemKind.HungTask);
    }

    [Fact]
    public async Task Recovery_by_another_export_is_refused_and_changes_nothing()
    {
        Guest guest = await fixture.GuestAsync();
        await using UblkServer server = await UblkServer.StartAsync(Size);
        await using UblkServer other = await UblkServer.StartAsync(Size / 2);
        string device = (await guest.RunAsync($"nbdfuse attach --driver ublk {server.Uri}", Long)).EnsureSuccess().Output.Trim();

        GuestResult result = await guest.RunAsync($"""
            printf kept | dd of={device} bs=512 conv=sync,fsync 2>/dev/null
            kill -9 $(pidof nbdfuse)
            until [ -z "$(pidof nbdfuse)" ]; do sleep 0.1; done
            nbdfuse attach --recover {device} {other.Uri} 2>&1 && exit 1
            nbdfuse attach --recover {device} >/dev/null
            dd if={device} bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\0'
            nbdfuse attach --recover {device} 2>&1 && exit 1
            nbdfuse detach {device}
            """, Long);

        Assert.Matches(
            $"^nbdfuse: {device} cannot be recovered: it has {Size} bytes, and the export offers {Size / 2}; .*\\n"
            + $"keptnbdfuse: {device}: process [0-9]+ still serves it; .*\\n$",
            result.EnsureSuccess().Output);
        Assert.Empty(other.Changes());

        // As long as nobody serves the device, its users hang.
        guest.AssertHealthy(KernelProblemKind.HungTask);
    }
}
