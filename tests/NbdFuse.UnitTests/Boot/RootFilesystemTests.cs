using System.Buffers.Binary;
using System.Text;
using NbdFuse.Boot;
using NbdFuse.Native;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Boot;

public sealed class RootFilesystemTests
{
    private const string Uuid = "01020304-0506-0708-090a-0b0c0d0e0f10";

    [Theory]
    [InlineData("ext4", 1024 + 56, "53EF", 1024 + 104, 1024 + 120)]
    [InlineData("xfs", 0, "58465342", 32, 108)]
    [InlineData("btrfs", 65536 + 64, "5F42485266535F4D", 65536 + 32, 65536 + 299)]
    [InlineData("erofs", 1024, "E2E1F5E0", 1024 + 48, 1024 + 64)]
    public void Superblock_names_type_id_and_label(string type, int magicAt, string magic, int uuidAt, int labelAt)
    {
        byte[] start = new byte[FilesystemProbe.Length];
        Convert.FromHexString(magic).CopyTo(start, magicAt);
        Enumerable.Range(1, 16).Select(i => (byte)i).ToArray().CopyTo(start, uuidAt);
        Encoding.UTF8.GetBytes("my root").CopyTo(start, labelAt);

        Assert.Equal(new FilesystemProbe(type, Uuid, "my root"), FilesystemProbe.Identify(start));
    }

    [Fact]
    public void F2fs_and_squashfs_are_recognised()
    {
        byte[] start = new byte[FilesystemProbe.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(start.AsSpan(1024), 0xF2F52010);
        Encoding.Unicode.GetBytes("flash").CopyTo(start, 1024 + 124);
        Assert.Equal("flash", FilesystemProbe.Identify(start)!.Label);

        Assert.Equal("squashfs", FilesystemProbe.Identify("hsqs"u8)!.Type);
        Assert.Null(FilesystemProbe.Identify(new byte[FilesystemProbe.Length]));
        Assert.Null(FilesystemProbe.Identify([]));
    }

    [Theory]
    [InlineData(512)]
    [InlineData(4096)]
    public void Gpt_names_ids_and_labels_of_partitions(int block)
    {
        byte[] start = new byte[FilesystemProbe.Length];
        "EFI PART"u8.CopyTo(start.AsSpan(block));
        BinaryPrimitives.WriteUInt64LittleEndian(start.AsSpan(block + 72), 2);
        BinaryPrimitives.WriteUInt32LittleEndian(start.AsSpan(block + 80), 128);
        BinaryPrimitives.WriteUInt32LittleEndian(start.AsSpan(block + 84), 128);
        Span<byte> third = start.AsSpan((2 * block) + (2 * 128), 128);
        third[0] = 1;
        new Guid("0fc63daf-8483-4772-8e79-3d69d8477de4").TryWriteBytes(third[16..]);
        Encoding.Unicode.GetBytes("root").CopyTo(third[56..]);

        Assert.Equal([new PartitionIds(3, "0fc63daf-8483-4772-8e79-3d69d8477de4", "root")], PartitionIds.Read(start));
    }

    [Fact]
    public void Mbr_gives_the_kernels_ids()
    {
        byte[] start = new byte[512];
        BinaryPrimitives.WriteUInt32LittleEndian(start.AsSpan(440), 0x1b2c3d4e);
        start[510] = 0x55;
        start[511] = 0xAA;

        Assert.Equal("1b2c3d4e-0a", PartitionIds.Read(start).Single(ids => ids.Number == 10).Uuid);
    }

    [Fact]
    public void Random_bytes_are_no_crash() => SeededRounds.Run(2_000, random =>
    {
        byte[] start = new byte[random.Next(0, FilesystemProbe.Length)];
        random.NextBytes(start);
        if (start.Length > 600)
        {
            "EFI PART"u8.CopyTo(start.AsSpan(512));
        }

        _ = FilesystemProbe.Identify(start);
        Assert.True(PartitionIds.Read(start).Count <= 255);
    });

    [Fact]
    public void New_system_is_told_to_leave_the_interface_alone()
    {
        using var directory = new TempDirectory();
        var facts = new NetworkFacts { NameServers = ["10.0.2.3", "no address\nX=1"], Domain = "example.com" };

        HandOver.WriteNetwork(directory.Path, new NetworkState(facts, "eth0", "52:54:00:12:34:56"));

        Assert.Equal(
            "[Match]\nMACAddress=52:54:00:12:34:56\n\n[Link]\nUnmanaged=yes\n", File.ReadAllText(directory["systemd/network/00-nbdfuse-root.network"]));
        Assert.Equal("[Service]\nExecStop=\n", File.ReadAllText(directory["systemd/system/ifup@.service.d/nbdfuse-root.conf"]));
        Assert.Equal("[Service]\nExecStop=\n", File.ReadAllText(directory["systemd/system/networking.service.d/nbdfuse-root.conf"]));
        Assert.Contains("match-device=mac:52:54:00:12:34:56\nmanaged=0", File.ReadAllText(directory["NetworkManager/conf.d/00-nbdfuse-root.conf"]), StringComparison.Ordinal);
        Assert.Equal("[Resolve]\nDNS=10.0.2.3\nDomains=example.com\n", File.ReadAllText(directory["systemd/resolved.conf.d/nbdfuse-root.conf"]));
    }

    [Fact]
    public void Without_an_interface_of_ours_nothing_is_told()
    {
        using var directory = new TempDirectory();

        HandOver.WriteNetwork(directory.Path, new NetworkState(NetworkFacts.None, null, null));

        Assert.Empty(Directory.GetFileSystemEntries(directory.Path));
    }

    [Fact]
    public void Hook_for_the_end_is_complete()
    {
        using var directory = new TempDirectory();
        Directory.CreateDirectory(directory["root/bin"]);
        Directory.CreateDirectory(directory["root/etc/nbdfuse"]);
        File.WriteAllText(directory["root/bin/busybox"], "busybox");
        File.WriteAllText(directory["root/etc/nbdfuse/shutdown.sh"], "#!/bin/busybox sh");

        HandOver.WriteShutdown(directory["run"], directory["root"], 42, "/dev/loop0", "fuse");

        Assert.Equal("42 /dev/loop0 fuse\n", File.ReadAllText(directory["run/initramfs/etc/nbdfuse-root"]));
        foreach (string program in new[] { "run/initramfs/shutdown", "run/initramfs/bin/busybox" })
        {
            PosixException.Check(Posix.Stat(directory[program], out FileStatus status), program);
            Assert.Equal(0x1EDu, status.Mode & 0x1FF);
        }

        Assert.Equal("busybox", File.ReadAllText(directory["run/initramfs/bin/losetup"]));
        Assert.Equal("42\n", File.ReadAllText(directory["run/sendsigs.omit.d/nbdfuse"]));
    }
}
