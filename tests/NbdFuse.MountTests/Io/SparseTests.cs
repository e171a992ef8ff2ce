using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Holes of the server in the mounted file: what lseek finds, and what programs make of it.</summary>
public sealed class SparseTests
{
    private const int Size = 16 << 20;

    [Theory]
    [InlineData(RealServerKind.Nbdkit)]
    [InlineData(RealServerKind.QemuNbd)]
    [InlineData(RealServerKind.Embedded)]
    public async Task Seeks_find_the_holes_of_the_server_and_what_is_written_into_them(RealServerKind kind)
    {
        await using RealServer server = await StartAsync(kind);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using (MountedFile file = mount.Open())
        {
            Assert.Equal(1 << 20, file.Seek(0, Posix.SeekData));
            Assert.Equal(0, file.Seek(0, Posix.SeekHole));
            Assert.Equal((1 << 20) + 65536, file.Seek(1 << 20, Posix.SeekHole));
            Assert.Equal(-Errno.ENXIO, file.Seek(8 << 20, Posix.SeekData));

            // Right after the write, without a flush: the answer is not an old one.
            file.Write(10 << 20, PatternData.Create(2, 0, 65536));
            Assert.Equal(10 << 20, file.Seek(8 << 20, Posix.SeekData));
        }

        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Copies_by_cp_and_tar_and_qemu_img_are_sparse_and_equal()
    {
        await using RealServer server = await StartAsync(RealServerKind.Nbdkit);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "-r");
        using var directory = new TempDirectory();
        (await Tool.RunAsync("cp", "--sparse=auto", mount.FilePath, directory["cp"])).EnsureSuccess();
        (await Tool.RunAsync(
            "tar", "-S", "-c", "-f", directory["tar"], "-C", Path.GetDirectoryName(mount.FilePath)!, Path.GetFileName(mount.FilePath))).EnsureSuccess();
        Assert.InRange(new FileInfo(directory["tar"]).Length, 65536, 1 << 20);
        string map = (await Tool.RunAsync(Requires.Command("qemu-img"), "map", "--output=json", "-f", "raw", mount.FilePath)).EnsureSuccess().Output;
        Assert.Contains("\"data\": false", map, StringComparison.Ordinal);
        string blocks = (await Tool.RunAsync("stat", "-c", "%b", directory["cp"])).EnsureSuccess().Output;
        Assert.InRange(long.Parse(blocks, System.Globalization.CultureInfo.InvariantCulture) * 512, 65536, 1 << 20);
        (await Tool.RunAsync("cmp", mount.FilePath, directory["cp"])).EnsureSuccess();
    }

    private static async Task<RealServer> StartAsync(RealServerKind kind)
    {
        RealServer server = await RealServers.StartAsync(kind, new() { Size = Size });
        using FileStream file = File.Open(server.BackingFile!, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        file.Position = 1 << 20;
        file.Write(PatternData.Create(1, 0, 65536));
        return server;
    }
}
