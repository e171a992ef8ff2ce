using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>The tools of everybody: cp, dd, cat, cmp, truncate. An image goes onto the export and comes back.</summary>
public sealed class CopyTests
{
    private const int Size = 3 << 20;

    [Theory]
    [InlineData("cp {image} {disk}")]
    [InlineData("dd if={image} of={disk} bs=1M status=none")]
    [InlineData("dd if={image} of={disk} bs=64k conv=notrunc status=none")]
    [InlineData("dd if={image} of={disk} bs=256k oflag=direct conv=notrunc status=none")]
    [InlineData("dd if={image} of={disk} bs=1M oflag=direct,sync status=none")]
    [InlineData("cat <{image} >{disk}")]
    [InlineData("dd if={image} of={disk} bs=10007 conv=fsync,notrunc status=none")]
    public async Task Image_written_by_a_tool_is_what_the_server_and_every_reader_has(string command)
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = Size });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] content = PatternData.Create(1, 0, Size);
        string image = mount.Directory.CreateFile("image", content);

        await Shell(command.Replace("{image}", image).Replace("{disk}", mount.FilePath));
        PatternData.AssertEqual(content, server.ReadBacking(0, Size), context: "behind the server");
        await Shell($"cmp {image} {mount.FilePath}");
        await Shell($"dd if={mount.FilePath} bs=128k iflag=direct status=none | cmp {image} -");
        Assert.Equal(Size, new FileInfo(mount.FilePath).Length);
        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Cp_of_a_shorter_image_leaves_size_and_rest_alone()
    {
        byte[] before = PatternData.Create(2, 0, Size);
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Content = before });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] image = PatternData.Create(3, 0, 100_001);
        await Shell($"cp {mount.Directory.CreateFile("image", image)} {mount.FilePath}");

        image.CopyTo(before, 0);
        FileContent.AssertEqual(before, mount.FilePath);
        PatternData.AssertEqual(before, server.ReadBacking(0, Size), context: "behind the server");
    }

    [Fact]
    public async Task Cp_of_a_longer_image_fails_with_no_space_left()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 1 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] image = PatternData.Create(4, 0, (1 << 20) + 4096);
        ToolResult cp = await Tool.RunAsync("cp", mount.Directory.CreateFile("image", image), mount.FilePath);
        cp.EnsureExit(1);
        Assert.Contains("No space left on device", cp.Error);
        FileContent.AssertEqual(image.AsSpan(0, 1 << 20), mount.FilePath);
    }

    [Fact]
    public async Task Truncate_succeeds_only_with_the_size_that_the_export_has()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Content = PatternData.Create(5, 0, 65536) });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        foreach (string size in new[] { "0", "4096", "65535", "65537", "1M" })
        {
            ToolResult truncate = await Tool.RunAsync("truncate", "-s", size, mount.FilePath);
            truncate.EnsureExit(1);
            Assert.Contains("Invalid argument", truncate.Error);
        }

        (await Tool.RunAsync("truncate", "-s", "65536", mount.FilePath)).EnsureSuccess();
        using (MountedFile file = mount.Open())
        {
            Assert.Equal(-Errno.EINVAL, file.Truncate(0));
            Assert.Equal(-Errno.EINVAL, file.Truncate(1));
            Assert.Equal(0, file.Truncate(65536));
        }

        FileContent.AssertEqual(PatternData.Create(5, 0, 65536), mount.FilePath);
    }

    [Fact]
    public async Task Open_that_truncates_keeps_size_and_content()
    {
        byte[] content = PatternData.Create(6, 0, 65536);
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Content = content });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using (MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Truncate))
        {
            Assert.Equal(65536, file.Seek(0, Posix.SeekEnd));
            PatternData.AssertEqual(content, file.Read(0, content.Length));
        }
    }

    private static async Task Shell(string command) => (await Tool.RunAsync("/bin/sh", "-ec", command)).EnsureSuccess();
}
