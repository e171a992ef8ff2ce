using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests.KernelNbd;

/// <summary>What every block device owes its users, of a device of the kernel's nbd driver that we attach.</summary>
public sealed class KernelNbdDeviceConformanceTests(KernelNbdDeviceConformanceTests.Device device)
    : IClassFixture<KernelNbdDeviceConformanceTests.Device>
{
    public static TheoryData<string> Cases => BlockConformance.Names;

    [Theory]
    [MemberData(nameof(Cases))]
    public Task Device_of_the_kernel_s_driver_behaves(string name) => device.AssertAsync(name);

    [Fact]
    public Task Device_of_the_kernel_s_driver_detaches() => device.AssertDetachesAsync();

    /// <summary>A device.</summary>
    public sealed class Device() : DeviceConformance(new GuestOptions { Modules = ["nbd nbds_max=1"] })
    {
        protected override async Task<string> AttachAsync(Guest guest, string uri) =>
            (await guest.RunAsync($"nbdfuse attach --driver nbd '{uri}'")).EnsureSuccess().Output.Trim();

        protected override async Task DetachAsync(Guest guest, string device) =>
            (await guest.RunAsync($"nbdfuse detach {device}")).EnsureSuccess();
    }
}
