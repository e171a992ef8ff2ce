using NbdFuse.TestKit;
using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests.Conformance;

/// <summary>A loop device with direct I/O over the mounted file, with the guest's kernel.</summary>
public sealed class LoopConformanceTests(LoopConformanceTests.Device device) : IClassFixture<LoopConformanceTests.Device>
{
    public static TheoryData<string> Cases => BlockConformance.Names;

    [Theory]
    [MemberData(nameof(Cases))]
    public Task Loop_device_over_the_mounted_file_behaves(string name) => device.AssertAsync(name);

    [Fact]
    public Task Loop_device_over_the_mounted_file_detaches() => device.AssertDetachesAsync();

    /// <summary>A loop device.</summary>
    public sealed class Device() : DeviceConformance(new GuestOptions { Programs = ["losetup"] })
    {
        protected override async Task<string> AttachAsync(Guest guest, string uri)
        {
            GuestResult result = await guest.RunAsync($"""
                mkdir -p /mnt/nbd
                nbdfuse --pidfile /run/nbdfuse.pid /mnt/nbd {uri} >/run/nbdfuse.log 2>&1 &
                until [ -s /run/nbdfuse.pid ]; do sleep 0.1; kill -0 $! || cat /run/nbdfuse.log; done
                loop=$(losetup --find --show --direct-io=on /mnt/nbd/nbd)
                [ $(cat /sys/block/$(basename $loop)/loop/dio) = 1 ]
                echo $loop
                """);
            return result.EnsureSuccess().Output.Trim();
        }

        protected override async Task DetachAsync(Guest guest, string device) => (await guest.RunAsync($"""
            losetup --detach {device}
            umount /mnt/nbd
            while kill -0 $(cat /run/nbdfuse.pid) 2>/dev/null; do sleep 0.1; done
            """)).EnsureSuccess();
    }
}
