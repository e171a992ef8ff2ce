using System.Globalization;
using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests;

/// <summary>Our ublk device beside the kernel's own nbd client. Nothing is judged: the numbers of an emulated processor are shown.</summary>
public sealed class BlockSpeedTests
{
    private const int Repetitions = 3;

    [Fact]
    public async Task Random_reads_of_ublk_and_of_the_kernel_s_nbd_are_compared()
    {
        await using Guest guest = await Guest.StartAsync(
            new GuestOptions { Modules = ["ublk_drv", "nbd nbds_max=1"], Programs = ["fio", "nbd-client"] });
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "memory", "64M");

        // Fields of fio's terse output: 5 is the error, 8 the reads per second. By turns, since the host's other load comes and goes.
        GuestResult result = await guest.RunAsync($$"""
            dev=$(nbdfuse attach --driver ublk {{Guest.UriOf(server)}})
            nbd-client 10.0.2.2 {{Guest.EndPointOf(server.EndPoint).Port}} /dev/nbd0 -N '' >/dev/null 2>&1
            for repetition in $(seq {{Repetitions}}); do
                for device in $dev /dev/nbd0; do
                    fio --name=r --filename=$device --rw=randread --bs=4k --iodepth=32 --ioengine=libaio --direct=1 --size=64M \
                        --time_based --runtime=2 --output-format=terse --terse-version=3 | cut -d';' -f5,8
                done
            done
            nbd-client -d /dev/nbd0 >/dev/null 2>&1
            nbdfuse detach $dev
            """);

        string[][] lines = [.. result.EnsureSuccess().Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(';'))];
        Assert.Equal(2 * Repetitions, lines.Length);
        Assert.All(lines, fields => Assert.Equal("0", fields[0]));
        double ublk = Median(lines.Where((_, index) => index % 2 == 0));
        double nbd = Median(lines.Where((_, index) => index % 2 == 1));
        Assert.True(ublk > 0 && nbd > 0, result.Output);
        Console.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"4 KiB random read, depth 32, in the guest: ublk {ublk:0}/s, the kernel's nbd {nbd:0}/s, ratio {ublk / nbd:0.00}"));
        guest.AssertHealthy();
    }

    private static double Median(IEnumerable<string[]> lines) =>
        lines.Select(fields => double.Parse(fields[1], CultureInfo.InvariantCulture)).Order().ElementAt(Repetitions / 2);
}
