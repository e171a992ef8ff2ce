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

    [Theory]
    [InlineData("memory", "16M")]
    [InlineData("data", "@0x100000 1*65536 @0xffffff 0", "size=16M")]
    public async Task Seeks_find_the_holes_of_servers_that_keep_them_in_memory(params string[] plugin)
    {
        await using RealServer server = await RealServers.Nbdkit(plugin);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using (MountedFile file = mount.Open())
        {
            file.Write(1 << 20, PatternData.Create(1, 0, 65536));
            Assert.Equal(1 << 20, file.Seek(0, Posix.SeekData));
            Assert.Equal(0, file.Seek(0, Posix.SeekHole));
            Assert.Equal((1 << 20) + 65536, file.Seek(1 << 20, Posix.SeekHole));
        }

        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Clusters_that_a_qcow2_image_has_not_allocated_are_holes()
    {
        string qemu = Requires.Command("qemu-img");
        using var directory = new TempDirectory();
        string image = directory["disk.qcow2"];
        (await Tool.RunAsync(qemu, "create", "-q", "-f", "qcow2", image, $"{Size}")).EnsureSuccess();
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            new MountStart { Mode = ["[", Requires.Command("qemu-nbd"), "-t", "-f", "qcow2", image, "]"] });
        using (MountedFile file = mount.Open())
        {
            file.Write(1 << 20, PatternData.Create(1, 0, 65536));
            Assert.Equal(1 << 20, file.Seek(0, Posix.SeekData));
            Assert.Equal((1 << 20) + 65536, file.Seek(1 << 20, Posix.SeekHole));
            Assert.Equal(-Errno.ENXIO, file.Seek(8 << 20, Posix.SeekData));
        }

        await mount.UnmountCleanlyAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Without_extended_headers_and_without_contexts_the_file_has_the_same_content(bool hasContexts)
    {
        await using RealServer server = hasContexts
            ? await StartAsync(RealServerKind.Embedded)
            : await RealServers.Nbdkit("--no-sr", "memory", $"{Size}");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, "--no-extended-headers");
        using (MountedFile file = mount.Open())
        {
            file.Write(1 << 20, PatternData.Create(1, 0, 65536));
            Assert.Equal(hasContexts ? 1 << 20 : 0, file.Seek(0, Posix.SeekData));
            Assert.Equal(hasContexts ? 0 : Size, file.Seek(0, Posix.SeekHole));
        }

        long blocks = Blocks((await Tool.RunAsync("stat", "-c", "%b", mount.FilePath)).EnsureSuccess().Output);
        Assert.InRange(blocks, hasContexts ? 0 : Size / 512, hasContexts ? (Size / 512) - 1 : Size / 512);
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
        Assert.InRange(Blocks(blocks) * 512, 65536, 1 << 20);

        // What those searches have met is no room that the file takes. Kept for a second by the kernel, so asked again until it shows.
        await Deadline.Until(
            () => Blocks(Tool.RunAsync("stat", "-c", "%b", mount.FilePath).GetAwaiter().GetResult().EnsureSuccess().Output) * 512 is >= 65536 and <= 1 << 20,
            "stat to show the holes");
        (await Tool.RunAsync(Requires.Command("qemu-img"), "convert", "-f", "raw", "-O", "raw", mount.FilePath, directory["img"])).EnsureSuccess();
        (await Tool.RunAsync("cmp", mount.FilePath, directory["img"])).EnsureSuccess();
        (await Tool.RunAsync("cmp", mount.FilePath, directory["cp"])).EnsureSuccess();
    }

    private static long Blocks(string text) => long.Parse(text, System.Globalization.CultureInfo.InvariantCulture);

    private static async Task<RealServer> StartAsync(RealServerKind kind)
    {
        RealServer server = await RealServers.StartAsync(kind, new() { Size = Size });
        using FileStream file = File.Open(server.BackingFile!, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        file.Position = 1 << 20;
        file.Write(PatternData.Create(1, 0, 65536));
        return server;
    }
}
