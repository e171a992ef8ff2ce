using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests.KernelNbd;

/// <summary>Servers that die, come back, come back as another, or hang.</summary>
public sealed class KernelNbdOutageTests(KernelNbdGuest fixture) : IClassFixture<KernelNbdGuest>
{
    [Fact]
    public async Task Server_killed_and_restarted_under_load_is_not_noticed_by_users_of_the_device()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 32 << 20 });
        string device = (await guest.RunAsync($"nbdfuse attach --driver nbd -C 1 '{Guest.UriOf(server)}'")).EnsureSuccess().Output.Trim();

        Task<GuestResult> load = guest.RunAsync(
            $"""
            fio --name=load --filename={device} --rw=randrw --bs=4k --iodepth=16 --ioengine=libaio --direct=1 \
                --verify=crc32c --verify_fatal=1 --size=32m --io_size=48m --rate_iops=1200 --output=/tmp/fio
            """,
            TimeSpan.FromMinutes(3));
        await WaitFor(guest, $"[ $(awk '{{print $5}}' /sys/block/{Name(device)}/stat) -gt 200 ]");
        server.Kill();
        await WaitFor(guest, "nbdfuse status | grep -q recovering");
        await server.RestartAsync();

        (await load).EnsureSuccess();
        GuestResult after = await guest.RunAsync($"nbdfuse status | awk 'NR==2 {{print $3, $6}}'; nbdfuse detach {device}");
        Assert.Equal("online 1\n", after.EnsureSuccess().Output);
        guest.AssertHealthy(KernelProblemKind.IoError);
    }

    [Fact]
    public async Task Another_export_at_the_address_fails_the_device_and_gets_not_one_byte()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 16 << 20 });
        string device = (await guest.RunAsync($"nbdfuse attach --driver nbd '{Guest.UriOf(server)}'")).EnsureSuccess().Output.Trim();
        byte[] other = PatternData.Create(9, 0, 8 << 20);

        server.Kill();
        await File.WriteAllBytesAsync(server.BackingFile!, other);
        await server.RestartAsync();
        await WaitFor(guest, "nbdfuse status | grep -q failed");

        GuestResult result = await guest.RunAsync($"""
            nbdfuse status | sed -n 3p
            dd if=/dev/zero of={device} bs=4k count=1 oflag=direct 2>/dev/null || echo error
            nbdfuse detach {device}
            """);
        Assert.Matches("not the export that was attached: the export has 8388608 bytes now, and had 16777216\nerror\n", result.EnsureSuccess().Output);
        Assert.Equal(other, await File.ReadAllBytesAsync(server.BackingFile!));
        guest.AssertHealthy(KernelProblemKind.IoError);
    }

    [Theory]
    [InlineData("")]
    [InlineData("--no-supervisor")]
    public async Task Force_ends_a_device_whose_server_hangs(string option)
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.Nbdkit(ServerTransport.Tcp, "--filter=delay", "memory", "64M", "wdelay=3600");
        string device = (await guest.RunAsync($"nbdfuse attach --driver nbd {option} -C 1 '{Guest.UriOf(server)}'")).EnsureSuccess().Output.Trim();
        string filled = option.Length == 0 ? "32" : "1";

        // Under the supervisor also with more than all buffers hold, so that the kernel is stuck in a send.
        Task<GuestResult> write = guest.RunAsync(
            $"""
            fio --name=stuck --filename={device} --rw=write --bs=512k --iodepth={filled} --ioengine=libaio --direct=1 --size=32m >/dev/null 2>&1 || echo error
            """,
            TimeSpan.FromMinutes(2));
        await WaitFor(guest, $"[ $(awk '{{print $9}}' /sys/block/{Name(device)}/stat) -gt 0 ]");
        GuestResult result = await guest.RunAsync($"nbdfuse detach --force {device}; nbdfuse status", TimeSpan.FromMinutes(2));

        Assert.Equal("nothing is attached\n", result.EnsureSuccess().Output);
        Assert.Equal("error\n", (await write).EnsureSuccess().Output);
        await WaitFor(guest, $"[ $(cat /sys/block/{Name(device)}/size) = 0 ]");
        guest.AssertHealthy(KernelProblemKind.IoError);
    }

    [Fact]
    public async Task Killed_supervisor_leaves_a_working_device_that_can_be_detached()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = 16 << 20 });

        GuestResult result = await guest.RunAsync($"""
            dev=$(nbdfuse attach --driver nbd '{Guest.UriOf(server)}')
            kill -9 $(pidof nbdfuse)
            dd if=/dev/urandom of=$dev bs=1M count=2 conv=fsync 2>/dev/null
            nbdfuse status | awk 'NR==2 {"{"}print $3{"}"}'
            nbdfuse detach $dev
            nbdfuse status
            """, TimeSpan.FromMinutes(2));

        Assert.Equal("unsupervised\nnothing is attached\n", result.EnsureSuccess().Output);
        guest.AssertHealthy(KernelProblemKind.IoError);
    }

    private static string Name(string device) => Path.GetFileName(device);

    private static async Task WaitFor(Guest guest, string condition) =>
        (await guest.RunAsync($"until {condition}; do sleep 0.2; done", TimeSpan.FromMinutes(2))).EnsureSuccess();
}
