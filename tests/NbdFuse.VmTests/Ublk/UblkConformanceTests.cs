using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests.Ublk;

/// <summary>The block device list over /dev/ublkbN.</summary>
public sealed class UblkConformanceTests(UblkConformanceTests.Device device) : IClassFixture<UblkConformanceTests.Device>
{
    public static TheoryData<string> Cases => BlockConformance.Names;

    [Theory]
    [MemberData(nameof(Cases))]
    public Task Ublk_device_behaves(string name) => device.AssertAsync(name);

    [Fact]
    public Task Ublk_device_detaches() => device.AssertDetachesAsync();

    /// <summary>A device of ours.</summary>
    public sealed class Device() : DeviceConformance(new GuestOptions { Modules = ["ublk_drv"] })
    {
        protected override async Task<string> AttachAsync(Guest guest, string uri) =>
            (await guest.RunAsync($"nbdfuse attach --driver ublk {uri}")).EnsureSuccess().Output.Trim();

        protected override async Task DetachAsync(Guest guest, string device) =>
            (await guest.RunAsync($"nbdfuse detach {device}; [ ! -e {device} ]")).EnsureSuccess();
    }
}
