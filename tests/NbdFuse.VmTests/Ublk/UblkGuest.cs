using NbdFuse.VmTests.Harness;

namespace NbdFuse.VmTests.Ublk;

/// <summary>A guest with the ublk driver and what works on block devices.</summary>
public sealed class UblkGuest() : GuestFixture(new GuestOptions
{
    Modules = ["ublk_drv"],
    Programs = ["losetup", "mkfs.ext4", "e2fsck", "fio", "blkdiscard"],
});
