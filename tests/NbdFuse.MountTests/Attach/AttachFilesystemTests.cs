using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>File systems on attached devices, judged by their own checkers.</summary>
public sealed class AttachFilesystemTests
{
    [Theory]
    [InlineData("ext4", 64, "mkfs.ext4 -q", "e2fsck -fn")]
    [InlineData("btrfs", 128, "mkfs.btrfs -q", "btrfs check --readonly")]
    [InlineData("xfs", 320, "mkfs.xfs -q", "xfs_repair -n")]
    public async Task File_system_is_made_used_and_found_clean(string type, int mebibytes, string make, string check)
    {
        Requires.Command(make.Split(' ')[0]);
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = (long)mebibytes << 20 });
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        await ShellAsync($"{make} {device.Path}");
        await ShellAsync($"{check} {device.Path}");
        if (!(await File.ReadAllLinesAsync("/proc/filesystems")).Any(line => line.EndsWith($"\t{type}", StringComparison.Ordinal)))
        {
            await device.DetachCleanlyAsync();
            Requires.Missing($"kernel-{type}", $"this kernel cannot mount {type}; making and checking it went well");
        }

        string root = Directory.CreateDirectory(device.Directory["fs"]).FullName;
        byte[] payload = PatternData.Create(5, 0, 3 << 20);
        await ShellAsync($"mount -t {type} {device.Path} {root}");
        await File.WriteAllBytesAsync(Path.Combine(root, "payload"), payload);
        await ShellAsync($"cd {root}; for i in $(seq 200); do echo $i > file$i; done; rm file1*; sync -f {root}; fstrim {root}");
        await ShellAsync($"umount {root}; {check} {device.Path}");

        // Detached and attached again: nothing of what is seen comes from a cache of this machine.
        await device.DetachCleanlyAsync();
        await using AttachedDevice again = await AttachedDevice.StartAsync(server.Uri, "--read-only");
        await ShellAsync($"mount -o ro -t {type} {again.Path} {root}");
        try
        {
            FileContent.AssertEqual(payload, Path.Combine(root, "payload"));
            Assert.Equal("200\n", await File.ReadAllTextAsync(Path.Combine(root, "file200")));
            Assert.False(File.Exists(Path.Combine(root, "file100")));
        }
        finally
        {
            await ShellAsync($"umount {root}");
        }

        await again.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Fio_at_depth_32_verifies_every_block_that_it_wrote()
    {
        string fio = Requires.Command("fio");
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 16 << 20 });
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        ToolResult result = await Tool.RunAsync(
            fio, "--name=verify", $"--filename={device.Path}", "--size=16M", "--rw=randrw", "--bsrange=512-128k", "--ba=512", "--ioengine=libaio",
            "--direct=1", "--iodepth=32", "--serialize_overlap=1", "--verify=crc32c", "--verify_backlog=64", "--runtime=4", "--time_based",
            "--verify_fatal=1", "--randrepeat=1", "--output-format=terse");
        result.EnsureSuccess();
        Assert.DoesNotContain("verify:", result.Error);
        await device.DetachCleanlyAsync();
    }

    private static async Task ShellAsync(string script) =>
        (await Tool.RunAsync("sh", "-e", "-c", $"PATH=$PATH:/usr/sbin:/sbin; {script}")).EnsureSuccess();
}
