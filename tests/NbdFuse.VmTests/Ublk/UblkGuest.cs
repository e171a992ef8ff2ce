using NbdFuse.VmTests.Harness;

namespace NbdFuse.VmTests.Ublk;

/// <summary>A guest with the ublk driver and what works on block devices.</summary>
public sealed class UblkGuest() : GuestFixture(new GuestOptions
{
    Modules = ["ublk_drv"],
    Programs = ["losetup", "mkfs.ext4", "e2fsck", "fio", "blkdiscard"],
})
{
    /// <summary>Ends when users of /dev/ublkb0 have written something, by the kernel's own count.</summary>
    /// <param name="guest">The guest.</param>
    public static async Task UntilWrittenAsync(Guest guest) => (await guest.RunAsync(
        "until [ $(awk '$3 == \"ublkb0\" { print $8 }' /proc/diskstats) -gt 200 ]; do sleep 0.2; done",
        TimeSpan.FromMinutes(3)).ConfigureAwait(false)).EnsureSuccess();
}
