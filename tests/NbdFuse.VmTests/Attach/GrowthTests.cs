using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests;

/// <summary>Attached devices whose export comes back larger, on Debian's kernel, with the rights to resize what is mounted.</summary>
public sealed class GrowthTests(GrowthTests.GrowthGuest fixture) : IClassFixture<GrowthTests.GrowthGuest>
{
    private const long Small = 16 << 20;
    private const long Large = 24 << 20;

    [Theory]
    [InlineData("fuse")]
    [InlineData("nbd")]
    public async Task Mounted_ext4_is_resized_when_the_export_has_grown(string driver)
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = Small });
        string device = await AttachAsync(guest, driver, server);
        (await guest.RunAsync($"mkfs.ext4 -q {device} && mkdir -p /tmp/fs && mount {device} /tmp/fs && echo before > /tmp/fs/before && sync")).EnsureSuccess();
        await GrowAsync(server);
        GuestResult result = await guest.RunAsync(
            $"""
            until [ $(blockdev --getsize64 {device}) = {Large} ]; do sleep 0.1; done
            resize2fs {device} 2>&1 || exit 1
            dd if=/dev/zero of=/tmp/fs/after bs=1M count=12 conv=fsync 2>/dev/null || exit 1
            cat /tmp/fs/before
            umount /tmp/fs && e2fsck -fn {device} && nbdfuse status && nbdfuse detach {device}
            """,
            TimeSpan.FromMinutes(1));
        Assert.Contains("before\n", result.EnsureSuccess().Output, StringComparison.Ordinal);
        guest.AssertHealthy(KernelProblemKind.IoError);
    }

    [Fact]
    public async Task Ublk_device_of_a_kernel_that_cannot_resize_it_keeps_its_size_and_says_so()
    {
        Guest guest = await fixture.GuestAsync();
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Transport = ServerTransport.Tcp, Size = Small });
        string device = await AttachAsync(guest, "ublk", server);
        await GrowAsync(server);
        GuestResult result = await guest.RunAsync(
            $"""
            until grep -hq 'has grown' /run/nbdfuse/*/log; do sleep 0.1; done
            until grep -h 'keeps its size' /run/nbdfuse/*/log; do sleep 0.1; done
            blockdev --getsize64 {device}
            dd if=/dev/zero of={device} bs=1M seek=15 count=1 oflag=direct 2>/dev/null && nbdfuse detach {device}
            """,
            TimeSpan.FromMinutes(1));
        Assert.Matches($"keeps its size.*cannot change the size.*\n{Small}\n", result.EnsureSuccess().Output);
        guest.AssertHealthy(KernelProblemKind.IoError);
    }

    private static async Task<string> AttachAsync(Guest guest, string driver, RealServer server) =>
        (await guest.RunAsync($"nbdfuse attach --driver {driver} '{Guest.UriOf(server)}'")).EnsureSuccess().Output.Trim();

    private static async Task GrowAsync(RealServer server)
    {
        server.Kill();
        await using (FileStream file = File.Open(server.BackingFile!, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite))
        {
            file.SetLength(Large);
        }

        await server.RestartAsync();
    }

    /// <summary>A guest with all drivers and the programs for it.</summary>
    public sealed class GrowthGuest() : GuestFixture(new GuestOptions
    {
        Modules = ["nbd nbds_max=4", "ublk_drv"],
        Programs = ["mkfs.ext4", "e2fsck", "resize2fs", "blockdev"],
    });
}
