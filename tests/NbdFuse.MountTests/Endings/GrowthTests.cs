using System.Globalization;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Servers that come back with a larger disk.</summary>
public sealed class GrowthTests
{
    private const int Small = (64 << 20) + 512;
    private const int Large = 96 << 20;

    public static TheoryData<RealServerKind, string> Mounts { get; } = new()
    {
        { RealServerKind.Nbdkit, "" },
        { RealServerKind.QemuNbd, "" },
        { RealServerKind.Nbdkit, "--keeper" },
    };

    [Theory]
    [MemberData(nameof(Mounts))]
    public async Task Mounted_file_grows_with_its_export(RealServerKind kind, string option)
    {
        await using RealServer server = await RealServers.StartAsync(kind, new RealServerOptions { Size = Small });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri, option.Length == 0 ? [] : [option]);
        Assert.Equal(Small, new FileInfo(mount.FilePath).Length);
        using MountedFile file = mount.Open(OpenFlags.ReadWrite);
        file.Write(Small - 512, PatternData.Create(1, 0, 512));
        Assert.Equal(0, file.Fsync());
        byte[] tail = new byte[4096];
        Assert.Equal(512, file.TryRead(Small - 512, tail));

        await GrowAsync(server);
        await Deadline.Until(() => new FileInfo(mount.FilePath).Length == Large, "the file to grow");
        byte[] data = PatternData.Create(2, 0, 1 << 20);
        file.Write(Small, data);
        file.Write(Large - (1 << 20), data);
        Assert.Equal(0, file.Fsync());
        PatternData.AssertEqual(PatternData.Create(1, 0, 512), file.Read(Small - 512, 512));
        PatternData.AssertEqual(data, file.Read(Small, 1 << 20));
        Assert.Contains($"the export has grown from {Small} to {Large} bytes", mount.Error);
        file.Dispose();
        Assert.Equal(0, await mount.UnmountAsync());
        PatternData.AssertEqual(data, server.ReadBacking(Large - (1 << 20), 1 << 20));
    }

    [Fact]
    public async Task Attached_device_with_a_mounted_ext4_grows_and_so_does_the_file_system()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = Small });
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        Assert.Equal(Small, await SizeOfAsync(device));
        (await Tool.RunAsync("mkfs.ext4", "-q", device.Path)).EnsureSuccess();
        string root = Directory.CreateDirectory(device.Directory["fs"]).FullName;
        (await Tool.RunAsync("mount", device.Path, root)).EnsureSuccess();
        try
        {
            byte[] payload = PatternData.Create(3, 0, 4 << 20);
            await File.WriteAllBytesAsync(Path.Combine(root, "before"), payload);
            await GrowAsync(server);
            await Deadline.Until(() => SizeOfAsync(device).GetAwaiter().GetResult() == Large, "the device to grow");
            await Deadline.Until(() => device.Status().GetProperty("size").GetInt64() == Large, "status to tell of it");

            // Not while it is mounted: that needs CAP_SYS_RESOURCE, which containers lack. The guests' tests do it.
            (await Tool.RunAsync("umount", root)).EnsureSuccess();
            (await Tool.RunAsync("e2fsck", "-fp", device.Path)).EnsureSuccess();
            (await Tool.RunAsync("resize2fs", device.Path)).EnsureSuccess();
            (await Tool.RunAsync("mount", device.Path, root)).EnsureSuccess();
            Assert.True(new DriveInfo(root).TotalSize > 80 << 20, "the file system did not grow");
            FileContent.AssertEqual(payload, Path.Combine(root, "before"));
            payload = PatternData.Create(4, 0, 24 << 20);
            await File.WriteAllBytesAsync(Path.Combine(root, "after"), payload);
            FileContent.AssertEqual(payload, Path.Combine(root, "after"));
        }
        finally
        {
            (await Tool.RunAsync("umount", root)).EnsureSuccess();
        }

        (await Tool.RunAsync("e2fsck", "-fn", device.Path)).EnsureSuccess();
        await device.DetachCleanlyAsync();
        (await Tool.RunAsync("e2fsck", "-fn", server.BackingFile!)).EnsureSuccess();
    }

    [Fact]
    public async Task Export_that_has_shrunk_gives_errors()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = Small });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
        await GrowAsync(server);
        await Deadline.Until(() => new FileInfo(mount.FilePath).Length == Large, "the file to grow");
        server.Kill();
        Resize(server, Small);
        await server.RestartAsync();
        await Deadline.Until(() => mount.Error.Contains($"it has {Small} bytes instead of {Large}"), "the smaller export to be refused");
        Assert.Equal(-Errno.EIO, file.TryWrite(0, new byte[4096]));
    }

    private static async Task<long> SizeOfAsync(AttachedDevice device) => long.Parse(
        (await Tool.RunAsync("blockdev", "--getsize64", device.Path)).EnsureSuccess().Output.Trim(), CultureInfo.InvariantCulture);

    private static async Task GrowAsync(RealServer server)
    {
        server.Kill();
        Resize(server, Large);
        await server.RestartAsync();
    }

    private static void Resize(RealServer server, long size)
    {
        using FileStream file = File.Open(server.BackingFile!, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        file.SetLength(size);
    }
}
