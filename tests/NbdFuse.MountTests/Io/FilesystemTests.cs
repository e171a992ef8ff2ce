using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>A file system on the export.</summary>
public sealed class FilesystemTests
{
    [Fact]
    public async Task Ext4_is_made_and_checked_on_the_file_and_its_content_is_there_for_another_client()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 32 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        string payload = mount.Directory.CreateFile("payload", PatternData.Create(1, 0, 3 << 20));
        (await Tool.RunAsync("mkfs.ext4", "-q", "-F", mount.FilePath)).EnsureSuccess();
        (await Tool.RunAsync("debugfs", "-w", "-R", $"write {payload} payload", mount.FilePath)).EnsureSuccess();
        (await Tool.RunAsync("e2fsck", "-fn", mount.FilePath)).EnsureSuccess();
        await mount.UnmountCleanlyAsync();

        using var directory = new TempDirectory();
        (await Tool.RunAsync(Requires.Command("nbdcopy"), server.Uri, directory["copy"])).EnsureSuccess();
        (await Tool.RunAsync("e2fsck", "-fn", directory["copy"])).EnsureSuccess();
        (await Tool.RunAsync("debugfs", "-R", $"dump payload {directory["back"]}", directory["copy"])).EnsureSuccess();
        FileContent.AssertEqual(PatternData.Create(1, 0, 3 << 20), directory["back"]);
    }

    [Fact]
    public async Task Loop_device_with_direct_io_carries_a_mounted_ext4()
    {
        Requires.Root();
        Requires.Loop();
        await using RealServer server = await RealServers.QemuNbd(new RealServerOptions { Size = 64 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] payload = PatternData.Create(2, 0, 8 << 20);
        string root = Directory.CreateDirectory(mount.Directory["fs"]).FullName;
        await using (LoopDevice loop = await LoopDevice.AttachAsync(mount.FilePath))
        {
            (await Tool.RunAsync("mkfs.ext4", "-q", loop.Path)).EnsureSuccess();
            await loop.MountAsync(root);
            await File.WriteAllBytesAsync(Path.Combine(root, "payload"), payload);
            (await Tool.RunAsync("fio", "--name=fs", $"--filename={root}/fio", "--size=4M", "--rw=randwrite", "--bs=4k-64k",
                "--verify=crc32c", "--do_verify=1", "--end_fsync=1", "--output-format=terse")).EnsureSuccess();
            await loop.UnmountAsync();
            (await Tool.RunAsync("e2fsck", "-fn", loop.Path)).EnsureSuccess();
        }

        await mount.UnmountCleanlyAsync();

        // What another client finds after the unmount.
        using var directory = new TempDirectory();
        (await Tool.RunAsync("qemu-img", "convert", "-O", "raw", server.Uri, directory["copy"])).EnsureSuccess();
        (await Tool.RunAsync("e2fsck", "-fn", directory["copy"])).EnsureSuccess();
        (await Tool.RunAsync("debugfs", "-R", $"dump payload {directory["back"]}", directory["copy"])).EnsureSuccess();
        FileContent.AssertEqual(payload, directory["back"]);
    }
}
