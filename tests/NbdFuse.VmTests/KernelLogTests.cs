using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests;

/// <summary>What a kernel's line means. Needs no guest.</summary>
public sealed class KernelLogTests
{
    [Theory]
    [InlineData("[   24.1] Kernel panic - not syncing: sysrq triggered crash", KernelProblemKind.Panic)]
    [InlineData("[   24.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009", KernelProblemKind.Panic)]
    [InlineData("[   24.1] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI", KernelProblemKind.EmulationFault)]
    [InlineData("[   24.1] RIP: 0010:io_fallback_tw+0x2b/0x110", KernelProblemKind.UblkCancelRace)]
    [InlineData("[   24.1] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI", KernelProblemKind.Oops)]
    [InlineData("[   24.1] BUG: kernel NULL pointer dereference, address: 0000000000000000", KernelProblemKind.Oops)]
    [InlineData("[   24.1] kernel BUG at fs/fuse/dev.c:42!", KernelProblemKind.Oops)]
    [InlineData("[   24.1] INFO: task jbd2/loop0-8:99 blocked for more than 30 seconds.", KernelProblemKind.HungTask)]
    [InlineData("[   24.1] I/O error, dev nbd0, sector 800 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2", KernelProblemKind.IoError)]
    [InlineData("[   24.1] Buffer I/O error on dev loop0, logical block 1, async page read", KernelProblemKind.IoError)]
    [InlineData("[   24.1] EXT4-fs error (device loop0): ext4_lookup:1785: inode #2: comm ls: iget: checksum invalid", KernelProblemKind.Filesystem)]
    [InlineData("[   24.1] EXT4-fs (loop0): Remounting filesystem read-only", KernelProblemKind.Filesystem)]
    [InlineData("[   24.1] EXT4-fs (nbd0): shut down requested (2)", KernelProblemKind.Filesystem)]
    [InlineData("[   24.1] Aborting journal on device loop0-8.", KernelProblemKind.Filesystem)]
    [InlineData("[   24.1] XFS (ublkb0): log I/O error -5", KernelProblemKind.Filesystem)]
    [InlineData("[   24.1] Out of memory: Killed process 123 (nbdfuse) total-vm:1kB", KernelProblemKind.OutOfMemory)]
    [InlineData("[   24.1] Memory cgroup out of memory: Killed process 7 (dd)", KernelProblemKind.OutOfMemory)]
    [InlineData("[   24.1] WARNING: CPU: 0 PID: 1 at kernel/x.c:1 f+0x1/0x2", KernelProblemKind.Warning)]
    public void Complaint_is_recognised(string line, KernelProblemKind kind)
    {
        KernelProblem problem = Assert.Single(KernelLog.Problems($"[    1.0] before\n{line}\n[   30.0] after"));
        Assert.Equal(kind, problem.Kind);
        Assert.Equal(line, problem.Line);
    }

    [Theory]
    [InlineData("[    3.0] EXT4-fs (vda): mounted filesystem 72d27180 ro without journal. Quota mode: none.")]
    [InlineData("[    3.0] RAS: Correctable Errors collector initialized.")]
    [InlineData("[    3.0] tsc: Unable to calibrate against PIT")]
    [InlineData("[    3.0] nbd0: detected capacity change from 0 to 32768")]
    [InlineData("[    3.0] block nbd0: NBD_DISCONNECT")]
    [InlineData("[    3.0] EXT4-fs (loop0): unmounting filesystem 72d27180.")]
    [InlineData("[    3.0] XFS (loop0): Ending clean mount")]
    [InlineData("[    3.0] rcu: INFO: rcu_preempt self-detected stall on CPU")]
    [InlineData("[    3.0] ACPI Error: Aborting method")]
    public void Ordinary_line_is_no_complaint(string line) => Assert.Empty(KernelLog.Problems(line));

    [Theory]
    [InlineData("Oops: int3: 0000 [#1] PREEMPT SMP NOPTI", true)]
    [InlineData("Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI\nRIP: 0010:io_fallback_tw+0x2b/0x110\nKernel panic - not syncing: Fatal exception", true)]
    [InlineData("Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI\nRIP: 0010:fuse_dev_read+0x2b/0x110\nKernel panic - not syncing: Fatal exception", false)]
    [InlineData("INFO: task jbd2/loop0-8:99 blocked for more than 30 seconds.", false)]
    public void Only_known_faults_of_the_guest_itself_are_no_verdict(string console, bool isOwnFault) =>
        Assert.Equal(isOwnFault, KernelLog.IsOwnFault(console));

    [Fact]
    public void Escape_sequences_are_removed() =>
        Assert.Equal("[  1.0] text\n", KernelLog.Clean("\u001bc\u001b[?7l\u001b[2J[  1.0] \u001b[1mtext\u001b[0m\r\n"));
}
