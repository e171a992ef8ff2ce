using System.Security.Cryptography;
using NbdFuse.Block;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

public sealed class FuseMountTests : IDisposable
{
    private const int Size = MountedMemory.Size;
    private readonly TempDirectory _directory = new();

    public FuseMountTests()
    {
        Requires.Fuse();
        Requires.Root();
    }

    public void Dispose() => _directory.Dispose();

    private string NewFile(string name = "mnt") => _directory.CreateFile(name, 0);

    private string NewImage(out byte[] content)
    {
        content = RandomNumberGenerator.GetBytes(Size);
        return _directory.CreateFile("image", content);
    }

    private static string Stat(string format, string path) => Tool.Run("stat", "-c", format, path).EnsureSuccess().Output.Trim();

    [Fact]
    public async Task File_mount_shows_one_file_of_the_size_of_the_device()
    {
        await using MountedMemory mounted = await MountedMemory.CreateAsync(NewFile(), new MemoryBlockDevice(Size));
        Assert.Equal($"{Size} {Size / 512} 666 regular file", Stat("%s %b %a %F", mounted.File));
        Assert.StartsWith($"nbdfuse {mounted.Mount.Path} fuse.nbdfuse ", MountsLine(mounted.Mount.Path), StringComparison.Ordinal);
        Assert.Equal($"{Size / 4096} 0 255", Tool.Run("stat", "-f", "-c", "%b %f %l", mounted.File).EnsureSuccess().Output.Trim());
    }

    [Theory]
    [InlineData("mnt", "nbd")]
    [InlineData("mnt/disk.img", "disk.img")]
    public async Task Directory_mount_holds_the_file_under_its_name(string path, string name)
    {
        Directory.CreateDirectory(_directory["mnt"]);
        await using MountedMemory mounted = await MountedMemory.CreateAsync(_directory[path], new MemoryBlockDevice(Size));
        Assert.Equal(_directory["mnt/" + name], mounted.File);
        Assert.Equal(name, Tool.Run("ls", _directory["mnt"]).EnsureSuccess().Output.Trim());
        Assert.Equal("755", Stat("%a", _directory["mnt"]));
        Assert.Equal($"{Size} 666", Stat("%s %a", mounted.File));
        Assert.NotEqual(0, Tool.Run("touch", _directory["mnt/other"]).ExitCode);
        Tool.Run("dd", "if=" + mounted.File, "of=/dev/null", "bs=64k").EnsureSuccess();
    }

    [Fact]
    public async Task Copy_over_the_file_keeps_its_size_and_is_flushed_at_the_end()
    {
        string image = NewImage(out byte[] content);
        MemoryBlockDevice device = new(Size);
        await using MountedMemory mounted = await MountedMemory.CreateAsync(NewFile(), device);
        Tool.Run("cp", image, mounted.File).EnsureSuccess();
        Assert.Equal($"{Size}", Stat("%s", mounted.File));
        Assert.True(device.Flushes > 0);
        Assert.Equal(content, device.Content.ToArray());
        Tool.Run("cmp", image, mounted.File).EnsureSuccess();
    }

    [Fact]
    public async Task Short_copy_over_the_file_leaves_the_rest_readable_at_once()
    {
        MemoryBlockDevice device = new(Size);
        device.Content.Fill(0x41);
        await using MountedMemory mounted = await MountedMemory.CreateAsync(NewFile(), device);
        string small = _directory.CreateFile("small", "BBBB"u8);
        string script = "exec 3<>\"$1\"; dd if=\"$2\" of=\"$1\" 2>/dev/null && dd bs=4k count=1 skip=1000 <&3 2>/dev/null | tr -d A | wc -c; stat -c %s \"$1\"";
        string output = Tool.Run("sh", "-c", script, "sh", mounted.File, small).EnsureSuccess().Output;
        Assert.Equal($"0\n{Size}", output.Trim());
        Assert.Equal("BBBBAAAA"u8.ToArray(), device.Content[..8].ToArray());
    }

    [Fact]
    public async Task Direct_io_reads_and_writes_what_the_page_cache_sees()
    {
        string image = NewImage(out byte[] content);
        MemoryBlockDevice device = new(Size);
        await using MountedMemory mounted = await MountedMemory.CreateAsync(NewFile(), device);
        Tool.Run("dd", "if=" + image, "of=" + mounted.File, "bs=1M", "oflag=direct", "conv=notrunc,fsync").EnsureSuccess();
        Assert.Equal(content, device.Content.ToArray());
        Tool.Run("dd", "if=" + mounted.File, "of=" + _directory["back"], "bs=256k", "iflag=direct").EnsureSuccess();
        Tool.Run("cmp", image, _directory["back"]).EnsureSuccess();
        Tool.Run("cmp", image, mounted.File).EnsureSuccess();
    }

    [Theory]
    [InlineData("")]
    [InlineData("direct_io")]
    [InlineData("kernel_cache")]
    public async Task Shared_mapping_reads_and_writes(string option)
    {
        string fio = Requires.Command("fio");
        MemoryBlockDevice device = new(Size);
        await using MountedMemory mounted = await MountedMemory.CreateAsync(
            NewFile(), device, FuseMountOptionParser.Parse([option]));
        Tool.Run(
            fio, "--name=map", "--filename=" + mounted.File, "--ioengine=mmap", "--rw=randwrite", "--bs=4k", "--size=4m",
            "--verify=crc32c", "--fallocate=none", "--overwrite=1", "--verify_fatal=1").EnsureSuccess();
        Assert.True(device.Content[..(4 << 20)].ContainsAnyExcept((byte)0));
        Tool.Run(
            fio, "--name=map", "--filename=" + mounted.File, "--ioengine=psync", "--direct=1", "--rw=randwrite", "--bs=4k", "--size=4m",
            "--verify=crc32c", "--verify_only=1", "--fallocate=none", "--overwrite=1", "--verify_fatal=1").EnsureSuccess();
    }

    [Fact]
    public async Task Random_writes_at_depth_verify()
    {
        string fio = Requires.Command("fio");
        await using MountedMemory mounted = await MountedMemory.CreateAsync(NewFile(), new MemoryBlockDevice(Size));
        Tool.Run(
            fio, "--name=v", "--filename=" + mounted.File, "--ioengine=libaio", "--direct=1", "--rw=randwrite", "--bs=4k", "--iodepth=32",
            "--size=8m", "--loops=2", "--verify=crc32c", "--fallocate=none", "--overwrite=1", "--verify_fatal=1").EnsureSuccess();
        Tool.Run(
            fio, "--name=b", "--filename=" + mounted.File, "--ioengine=libaio", "--direct=1", "--rw=randwrite", "--bsrange=512-1m",
            "--blockalign=512", "--iodepth=16", "--size=8m", "--verify=crc32c", "--serialize_overlap=1", "--fallocate=none",
            "--overwrite=1", "--verify_fatal=1").EnsureSuccess();
        Assert.Equal(0, mounted.Session.FailedReplies);
    }

    [Fact]
    public async Task Truncate_to_another_size_is_refused_and_to_the_same_accepted()
    {
        await using MountedMemory mounted = await MountedMemory.CreateAsync(NewFile(), new MemoryBlockDevice(Size));
        foreach (string size in new[] { "0", "4096", $"{Size + 1}" })
        {
            ToolResult result = Tool.Run("truncate", "-s", size, mounted.File).EnsureExit(1);
            Assert.Contains("Invalid argument", result.Error, StringComparison.Ordinal);
        }

        Tool.Run("truncate", "-s", $"{Size}", mounted.File).EnsureSuccess();
        Assert.Equal($"{Size}", Stat("%s", mounted.File));
    }

    [Theory]
    [InlineData("direct")]
    [InlineData("append")]
    public async Task Write_at_the_end_finds_no_space(string flag)
    {
        await using MountedMemory mounted = await MountedMemory.CreateAsync(NewFile(), new MemoryBlockDevice(Size));
        ToolResult result = Tool.Run(
            "dd", "if=/dev/zero", "of=" + mounted.File, "bs=4096", "count=1", $"seek={Size / 4096}", "conv=notrunc", "oflag=" + flag).EnsureExit(1);
        Assert.Contains("No space left", result.Error, StringComparison.Ordinal);
        Assert.Equal($"{Size}", Stat("%s", mounted.File));
    }

    [Fact]
    public async Task Fallocate_punches_and_zeroes_but_does_not_reserve()
    {
        MemoryBlockDevice device = new(Size);
        device.Content.Fill(1);
        await using MountedMemory mounted = await MountedMemory.CreateAsync(NewFile(), device);
        Tool.Run("fallocate", "--punch-hole", "-o", "4096", "-l", "8192", mounted.File).EnsureSuccess();
        Tool.Run("fallocate", "--zero-range", "--keep-size", "-o", "65536", "-l", "4096", mounted.File).EnsureSuccess();
        Assert.NotEqual(0, Tool.Run("fallocate", "-l", $"{2 * Size}", mounted.File).ExitCode);
        Assert.Equal((8192 + 4096, Size), (device.Content.Count((byte)0), int.Parse(Stat("%s", mounted.File), System.Globalization.CultureInfo.InvariantCulture)));
        Assert.False(device.Content.Slice(4096, 8192).ContainsAnyExcept((byte)0));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Read_only_file_cannot_be_opened_for_writing(bool byOption)
    {
        MemoryBlockDevice device = new(new BlockDeviceInfo { Size = Size, IsReadOnly = !byOption });
        await using MountedMemory mounted = await MountedMemory.CreateAsync(
            NewFile(), device, FuseMountOptionParser.Parse(byOption ? ["ro"] : []));
        ToolResult result = Tool.Run("dd", "if=/dev/zero", "of=" + mounted.File, "count=1", "conv=notrunc").EnsureExit(1);
        Assert.Contains("Read-only file system", result.Error, StringComparison.Ordinal);
        Assert.Equal("444", Stat("%a", mounted.File));
        Tool.Run("cmp", "-n", "65536", mounted.File, "/dev/zero").EnsureSuccess();
    }

    [Fact]
    public async Task Unmount_is_refused_while_the_file_is_open_and_ends_the_session_afterwards()
    {
        await using MountedMemory mounted = await MountedMemory.CreateAsync(NewFile(), new MemoryBlockDevice(Size));
        using (FileStream open = new(mounted.File, FileMode.Open, FileAccess.Read, FileShare.ReadWrite))
        {
            FuseException busy = Assert.Throws<FuseException>(() => mounted.Unmount(lazy: false));
            Assert.Equal(Errno.EBUSY, busy.Errno);
            Assert.Contains(mounted.Mount.Path, busy.Message, StringComparison.Ordinal);
            Assert.False(mounted.Session.Completion.IsCompleted);
            mounted.Unmount(lazy: true);
            Assert.False(mounted.Session.Completion.IsCompleted);
        }

        FuseSessionEnd end = await mounted.EndAsync();
        Assert.Equal(FuseEndReason.Unmounted, end.Reason);
        Assert.Null(MountsLine(mounted.Mount.Path));
    }

    [Fact]
    public async Task Unmount_from_outside_ends_the_session()
    {
        await using MountedMemory mounted = await MountedMemory.CreateAsync(NewFile(), new MemoryBlockDevice(Size));
        mounted.Unmount(lazy: false);
        Assert.Equal(FuseEndReason.Unmounted, (await mounted.EndAsync()).Reason);

        // What is not mounted any more needs no unmounting.
        mounted.Mount.Unmount(lazy: false);
    }

    [Theory]
    [InlineData("mnt")]
    [InlineData("dir/name")]
    public async Task Dead_mount_is_recognised_and_replaced(string path)
    {
        NewFile();
        Directory.CreateDirectory(_directory["dir"]);
        MountTarget target = MountTarget.Resolve(_directory[path]);
        FuseMounter.Mount(target, new FuseMountOptions()).Dispose();
        Assert.Contains(Posix.Stat(target.Path, out _), new[] { -Errno.ENOTCONN, -Errno.ECONNABORTED });

        await using MountedMemory mounted = await MountedMemory.CreateAsync(_directory[path], new MemoryBlockDevice(Size));
        Assert.Equal($"{Size}", Stat("%s", mounted.File));
        mounted.Unmount(lazy: false);
        Assert.Null(MountsLine(target.Path));
    }

    [Fact]
    public async Task Helper_mounts_and_unmounts_when_the_connection_closes()
    {
        Requires.Command("fusermount3");
        await using MountedMemory mounted = await MountedMemory.CreateAsync(
            NewFile(), new MemoryBlockDevice(Size), FuseMountOptionParser.Parse(["auto_unmount,fsname=a\\,b,noatime"]));
        string line = MountsLine(mounted.Mount.Path)!;
        Assert.StartsWith($"a,b {mounted.Mount.Path} fuse.nbdfuse ", line, StringComparison.Ordinal);
        Assert.Contains("noatime", line, StringComparison.Ordinal);
        Tool.Run("cmp", "-n", "65536", mounted.File, "/dev/zero").EnsureSuccess();
    }

    [Fact]
    public void Helper_error_is_passed_on()
    {
        Requires.Command("fusermount3");
        FuseException error = Assert.Throws<FuseException>(() =>
            FuseMounter.Mount(new MountTarget(_directory["missing"], null), new FuseMountOptions { AutoUnmount = true }));
        Assert.Contains("No such file or directory", error.Message, StringComparison.Ordinal);
        Assert.Contains(_directory["missing"], error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Payload_delivered_past_the_buffer_arrives_whole(bool byPipe)
    {
        string image = NewImage(out byte[] content);
        await using DeliveringDevice device = new(content, byPipe);
        await using MountedMemory mounted = await MountedMemory.CreateAsync(NewFile(), device);
        Tool.Run("cmp", image, mounted.File).EnsureSuccess();
        Tool.Run("dd", "if=" + mounted.File, "of=" + _directory["back"], "bs=512k", "iflag=direct").EnsureSuccess();
        Tool.Run("cmp", image, _directory["back"]).EnsureSuccess();
        Assert.True(device.Delivered > 0);
        Assert.Equal(0, mounted.Session.FailedReplies);
    }

    private static string? MountsLine(string path) =>
        File.ReadLines("/proc/self/mounts").LastOrDefault(line => line.Split(' ')[1] == path);
}
