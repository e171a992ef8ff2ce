using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>What a mount looks like.</summary>
public sealed class MountShapeTests
{
    [Fact]
    public async Task Append_right_after_the_pidfile_finds_the_end_and_not_the_start()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 1 << 20 });
        byte[] before = server.ReadBacking(0, 512);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            new MountStart { Mode = [server.Uri], Shape = MountShape.File });

        // No look at the file before: until somebody asks, the kernel believes that it is empty.
        using (MountedFile file = mount.Open(OpenFlags.WriteOnly | OpenFlags.Append))
        {
            Assert.Equal(-Errno.ENOSPC, file.TryAppend(PatternData.Create(7, 0, 512)));
        }

        PatternData.AssertEqual(before, server.ReadBacking(0, 512));
        await mount.UnmountCleanlyAsync();
    }

    // Neither a multiple of a sector nor of a page.
    private const long OddSize = 1_000_001;

    [Theory]
    [InlineData(MountShape.Directory, "nbd")]
    [InlineData(MountShape.NameInDirectory, "disk.img")]
    [InlineData(MountShape.File, "disk")]
    public async Task Export_appears_as_a_file_with_its_exact_size_where_the_mountpoint_says(MountShape shape, string name)
    {
        await using RealServer server = await RealServers.Nbdkit("memory", $"{OddSize}");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(new MountStart { Shape = shape, Mode = [server.Uri] });

        Assert.Equal(name, Path.GetFileName(mount.FilePath));
        FileStatus file = Stat(mount.FilePath);
        Assert.True(file.IsRegular);
        Assert.Equal(OddSize, file.Size);

        // One less than all: the server could tell of holes, and nobody has asked yet.
        Assert.Equal((OddSize / 512) - 1, file.Blocks);
        Assert.Equal("666", Octal(file));
        Assert.Equal((Posix.GetEuid(), Posix.GetEgid()), (file.Uid, file.Gid));
        if (shape != MountShape.File)
        {
            FileStatus directory = Stat(mount.MountPoint);
            Assert.True(directory.IsDirectory);
            Assert.Equal("755", Octal(directory));
            Assert.Equal([mount.FilePath], Directory.EnumerateFileSystemEntries(mount.MountPoint));
        }

        await mount.UnmountCleanlyAsync();
        Assert.Equal(shape == MountShape.File, File.Exists(mount.FilePath));
    }

    [Fact]
    public async Task Ls_and_df_know_the_mount()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "8M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);

        ToolResult ls = (await Tool.RunAsync("ls", "-lan", mount.MountPoint)).EnsureSuccess();
        Assert.Contains("-rw-rw-rw-", ls.Output);
        Assert.Contains($"{8 << 20}", ls.Output);

        string[] df = (await Tool.RunAsync("df", "--output=source,fstype,size", "-B1", mount.MountPoint)).EnsureSuccess()
            .Output.Split('\n')[1].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(["nbdfuse", "fuse.nbdfuse", $"{8 << 20}"], df);
    }

    [Theory]
    [InlineData("server")]
    [InlineData("-r")]
    [InlineData("--read-only")]
    [InlineData("-o,ro")]
    public async Task Read_only_mount_shows_0444_and_refuses_every_change(string reason)
    {
        string[] serverOptions = reason == "server" ? ["-r"] : [];
        await using RealServer server = await RealServers.Nbdkit([.. serverOptions, "memory", "1M"]);
        string[] options = reason == "server" ? [] : reason.Split(',');
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, options);

        Assert.Equal("444", Octal(Stat(mount.FilePath)));
        Assert.Equal("555", Octal(Stat(mount.MountPoint)));
        Assert.Equal(-Errno.EROFS, Posix.Open(mount.FilePath, OpenFlags.ReadWrite));
        Assert.Equal(-Errno.EROFS, Posix.Open(mount.FilePath, OpenFlags.WriteOnly | OpenFlags.Truncate));
        Assert.Equal(-Errno.EROFS, Posix.Chmod(mount.FilePath, 0x1ff));
        using MountedFile file = mount.Open(OpenFlags.ReadOnly);
        Assert.Equal(new byte[4096], file.Read(0, 4096));
        file.Dispose();
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Directory_of_the_mount_takes_no_other_names()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);

        string other = Path.Combine(mount.MountPoint, "other");
        Assert.Equal(-Errno.ENOENT, Posix.Stat(other, out _));
        Assert.True(Posix.Open(other, OpenFlags.WriteOnly | OpenFlags.Create, 0x1b6) < 0);
        Assert.True(Posix.Mkdir(other, 0x1ff) < 0);
        Assert.True(Posix.Unlink(mount.FilePath) < 0);
        Assert.Equal(1 << 20, Stat(mount.FilePath).Size);
    }

    [Fact]
    public async Task Owner_and_permission_bits_follow_the_options()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            server.Uri, "-o", "uid=1234,gid=4321", "-o", "umask=027");

        FileStatus file = Stat(mount.FilePath);
        Assert.Equal((1234u, 4321u), (file.Uid, file.Gid));
        Assert.Equal("750", Octal(file));
    }

    [Fact]
    public async Task Pidfile_holds_the_process_id_when_the_file_is_usable()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);

        Assert.Equal($"{mount.Id}", await File.ReadAllTextAsync(mount.PidFile));
        Assert.Equal(1 << 20, new FileInfo(mount.FilePath).Length);
    }

    private static FileStatus Stat(string path)
    {
        PosixException.Check(Posix.Stat(path, out FileStatus status), $"stat {path}");
        return status;
    }

    private static string Octal(FileStatus status) => Convert.ToString(status.Mode & 0xfff, 8);
}
