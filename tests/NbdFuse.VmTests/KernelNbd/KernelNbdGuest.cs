using NbdFuse.VmTests.Harness;

namespace NbdFuse.VmTests.KernelNbd;

/// <summary>A guest with the kernel's nbd driver: one for all tests of a class, since starting one costs more than most of them.</summary>
public sealed class KernelNbdGuest() : GuestFixture(new GuestOptions
{
    Modules = ["nbd nbds_max=4"],
    Programs = ["mkfs.ext4", "e2fsck", "fio", "nbd-client"],
});
