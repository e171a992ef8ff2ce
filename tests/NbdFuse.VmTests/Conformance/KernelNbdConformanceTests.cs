using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests.Conformance;

/// <summary>The reference: nbd-client on the kernel's driver. What fails here is wrong with the list or the harness.</summary>
public sealed class KernelNbdConformanceTests(KernelNbdConformanceTests.Device device) : IClassFixture<KernelNbdConformanceTests.Device>
{
    public static TheoryData<string> Cases => BlockConformance.Names;

    [Theory]
    [MemberData(nameof(Cases))]
    public Task Device_of_nbd_client_behaves(string name) => device.AssertAsync(name);

    [Fact]
    public Task Device_of_nbd_client_disconnects() => device.AssertDetachesAsync();

    /// <summary>/dev/nbd0.</summary>
    public sealed class Device() : DeviceConformance(new GuestOptions { Modules = ["nbd nbds_max=1"], Programs = ["nbd-client"] })
    {
        protected override async Task<string> AttachAsync(Guest guest, string uri)
        {
            (await guest.RunAsync($"""
                nbd-client 10.0.2.2 {new Uri(uri).Port} /dev/nbd0
                until [ $(cat /sys/block/nbd0/size) -gt 0 ]; do sleep 0.1; done
                """)).EnsureSuccess();
            return "/dev/nbd0";
        }

        protected override async Task DetachAsync(Guest guest, string device) =>
            (await guest.RunAsync($"nbd-client -d {device}")).EnsureSuccess();
    }
}
