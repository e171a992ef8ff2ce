using NbdFuse.Block;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

public sealed class MountIdentityTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private readonly TempDirectory _directory = new();

    public MountIdentityTests()
    {
        Requires.Fuse();
        Requires.Root();
    }

    public void Dispose() => _directory.Dispose();

    private static string? TypeAt(string path) =>
        File.ReadLines("/proc/self/mounts").LastOrDefault(line => line.Split(' ')[1] == path)?.Split(' ')[2];

    [Fact]
    public async Task Mount_through_a_symbolic_link_is_unmounted_again()
    {
        string file = _directory.CreateFile("mnt", 0);
        File.CreateSymbolicLink(_directory["link"], "mnt");
        await using MountedMemory mounted = await MountedMemory.CreateAsync(_directory["link"], new MemoryBlockDevice(MountedMemory.Size));
        Assert.Equal("fuse.nbdfuse", TypeAt(file));
        mounted.Unmount(lazy: false);
        Assert.Null(TypeAt(file));
        Assert.Equal(FuseEndReason.Unmounted, (await mounted.EndAsync()).Reason);
    }

    [Fact]
    public async Task Dead_mount_behind_a_symbolic_link_is_replaced()
    {
        string file = _directory.CreateFile("mnt", 0);
        File.CreateSymbolicLink(_directory["link"], "mnt");
        FuseMounter.Mount(new MountTarget(file, null), new FuseMountOptions()).Dispose();
        await using MountedMemory mounted = await MountedMemory.CreateAsync(_directory["link"], new MemoryBlockDevice(MountedMemory.Size));
        mounted.Unmount(lazy: false);
        Assert.Null(TypeAt(file));
    }

    [Theory]
    [InlineData("dir")]
    [InlineData("dir/name")]
    [InlineData("dir/below/name")]
    public void Dead_mount_of_another_program_is_named_and_left_alone(string path)
    {
        Directory.CreateDirectory(_directory["dir"]);
        FuseMounter.Mount(
            new MountTarget(_directory["dir"], "nbd"), new FuseMountOptions { FileSystemName = "theirs", Subtype = "other" }).Dispose();
        try
        {
            FuseException error = Assert.Throws<FuseException>(() => MountTarget.Resolve(_directory[path]));
            Assert.Contains("fuse.other", error.Message, StringComparison.Ordinal);
            Assert.Contains($"umount -l {_directory["dir"]}'", error.Message, StringComparison.Ordinal);
            Assert.Contains($"fusermount3 -u -z {_directory["dir"]}'", error.Message, StringComparison.Ordinal);
            Assert.Equal("fuse.other", TypeAt(_directory["dir"]));
        }
        finally
        {
            Posix.Umount2(_directory["dir"], Posix.UnmountDetach);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Unmount_leaves_what_somebody_else_mounted_meanwhile(bool lazy)
    {
        Directory.CreateDirectory(_directory["dir"]);
        await using MountedMemory mounted = await MountedMemory.CreateAsync(_directory["dir"], new MemoryBlockDevice(MountedMemory.Size));
        Tool.Run("umount", "-l", _directory["dir"]).EnsureSuccess();
        Tool.Run("mount", "-t", "tmpfs", "theirs", _directory["dir"]).EnsureSuccess();
        try
        {
            mounted.Unmount(lazy);
            Assert.Equal("tmpfs", TypeAt(_directory["dir"]));
        }
        finally
        {
            Posix.Umount2(_directory["dir"], Posix.UnmountDetach);
        }
    }

    [Fact]
    public async Task Abort_of_the_connection_is_told_from_an_unmount_while_nothing_is_read()
    {
        HoldingDevice device = new();
        Directory.CreateDirectory(_directory["control"]);
        await using MountedMemory mounted = await MountedMemory.CreateAsync(_directory.CreateFile("mnt", 0), device);
        Tool.Run("mount", "-t", "fusectl", "none", _directory["control"]).EnsureSuccess();
        try
        {
            ulong device64 = ulong.Parse(
                Tool.Run("stat", "-c", "%d", mounted.File).EnsureSuccess().Output, System.Globalization.CultureInfo.InvariantCulture);

            // The kernel's name is the minor number: makedev(3) puts its upper bits elsewhere.
            ulong number = (device64 & 0xFF) | ((device64 >> 12) & 0xFFFFF00);
            Task<ToolResult> reader = Task.Factory.StartNew(
                () => Tool.Run("dd", "if=" + mounted.File, "of=/dev/null", "bs=4096", "count=1", "iflag=direct"),
                CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            await device.Asked.WaitAsync(Patience);
            mounted.Session.BeginDrain();
            await mounted.SettleAsync();
            await File.WriteAllTextAsync(_directory[$"control/{number}/abort"], "1");
            FuseSessionEnd end = await mounted.EndAsync();
            Assert.Equal((FuseEndReason.Aborted, Errno.ECONNABORTED), (end.Reason, end.Errno));
            Assert.NotEqual(0, (await reader.WaitAsync(Patience)).ExitCode);
        }
        finally
        {
            Posix.Umount2(_directory["control"], Posix.UnmountDetach);
        }
    }
}
