using System.Text.Json;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Block sizes, partition tables and odd sizes of attached devices.</summary>
public sealed class AttachSizeTests
{
    private const int Mebibyte = 1 << 20;

    [Theory]
    [InlineData(4096)]
    [InlineData(65536)]
    public async Task Sectors_of_512_bytes_are_written_through_a_larger_minimum_block(int minimum)
    {
        // The filter fails every request that is not aligned.
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=blocksize-policy", "memory", "8M", $"blocksize-minimum={minimum}", $"blocksize-preferred={minimum}",
            "blocksize-maximum=1M", "blocksize-error-policy=error");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        using (var file = new MountedFile(device.Path, OpenFlags.ReadWrite | OpenFlags.Direct))
        using (var buffer = NativeBuffer.Allocate(200 * 512))
        {
            byte[] model = new byte[4 * 65536];
            foreach ((int offset, int length) in new[] { (512, 512), (minimum - 512, 1024), (65536, 200 * 512), (3 * 65536, 4096) })
            {
                byte[] data = PatternData.Create((ulong)length, offset, length);
                data.CopyTo(buffer.Span);
                Assert.Equal(length, file.TryWrite(offset, buffer.Span[..length]));
                data.CopyTo(model, offset);
            }

            Assert.Equal(0, file.Fsync());
            using var all = new MountedFile(device.Path, OpenFlags.ReadOnly);
            PatternData.AssertEqual(model, all.Read(0, model.Length));
        }

        // What the export likes is what the kernel discards in, so that no discard ends within a block.
        Assert.Equal(minimum, int.Parse(await QueueAsync(device, "discard_granularity")));
        Assert.Equal("512", await QueueAsync(device, "logical_block_size"));
        await device.DetachCleanlyAsync();
    }

    [Fact]
    public async Task Disk_that_was_partitioned_in_blocks_of_4096_bytes_gets_them_again_with_its_partitions()
    {
        Requires.Command("sfdisk");
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 64 * Mebibyte });
        string device;
        await using (AttachedDevice first = await AttachedDevice.StartAsync(server.Uri, "--block-size=4096"))
        {
            device = first.Path;
            Assert.Equal("4096", await QueueAsync(first, "logical_block_size"));
            Assert.Equal(4096, first.Status().GetProperty("block-size").GetInt32());
            (await Tool.RunAsync("sh", "-c", $"printf 'label: gpt\\n,8M\\n,16M\\n' | {Requires.Command("sfdisk")} -q --no-reread --no-tell-kernel {device}")).EnsureSuccess();
            await first.DetachCleanlyAsync();
        }

        await using AttachedDevice again = await AttachedDevice.StartAsync(server.Uri);
        Assert.Equal("4096", await QueueAsync(again, "logical_block_size"));
        string[] nodes = [$"{again.Path}p1", $"{again.Path}p2"];
        Assert.Equal(nodes, again.Status().GetProperty("partitions").EnumerateArray().Select(node => node.GetString()!).ToArray());
        using (var second = new MountedFile(nodes[1], OpenFlags.ReadOnly))
        {
            Assert.Equal(16 * Mebibyte, second.Seek(0, Posix.SeekEnd));
        }

        await again.DetachCleanlyAsync();

        // Against the disk's own word when the user says so: a table that counts in other blocks is no table.
        await using AttachedDevice forced = await AttachedDevice.StartAsync(server.Uri, "--block-size=512");
        Assert.Equal("512", await QueueAsync(forced, "logical_block_size"));
        await forced.DetachCleanlyAsync();
    }

    [Theory]
    [InlineData(Mebibyte + 1000, 512, 1000 % 512)]
    [InlineData(Mebibyte + 5 * 512, 4096, 5 * 512)]
    [InlineData(Mebibyte + 1, 512, 1)]
    [InlineData(300, 512, 300)]
    public async Task Odd_tail_is_left_out_and_reported(int size, int block, int tail)
    {
        await using RealServer server = await RealServers.Nbdkit("memory", $"{size}");
        using var directory = new TempDirectory();
        ToolResult attached = (await AttachedDevice.RunAsync(directory, "attach", $"--block-size={block}", server.Uri)).EnsureSuccess();
        string path = attached.Output.Trim();
        try
        {
            Assert.Contains($"warning: {path}: the export has {size} bytes, the device {size - tail}", attached.Error, StringComparison.Ordinal);
            using var device = new MountedFile(path, OpenFlags.ReadOnly);
            Assert.Equal(size - tail, device.Seek(0, Posix.SeekEnd));
            ToolResult status = (await AttachedDevice.RunAsync(directory, "status", "--json")).EnsureSuccess();
            using JsonDocument document = JsonDocument.Parse(status.Output);
            Assert.Equal(1, document.RootElement.GetProperty("version").GetInt32());
            Assert.Equal(tail, document.RootElement.GetProperty("devices")[0].GetProperty("unreachable-tail").GetInt64());
        }
        finally
        {
            (await AttachedDevice.RunAsync(directory, "detach", path)).EnsureSuccess();
        }
    }

    [Fact]
    public async Task Empty_export_becomes_an_empty_device()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "0");
        await using AttachedDevice device = await AttachedDevice.StartAsync(server.Uri);
        using (var file = new MountedFile(device.Path, OpenFlags.ReadOnly))
        {
            Assert.Equal(0, file.Seek(0, Posix.SeekEnd));
        }

        await device.DetachCleanlyAsync();
    }

    private static async Task<string> QueueAsync(AttachedDevice device, string name) =>
        (await File.ReadAllTextAsync($"/sys/block/{Path.GetFileName(device.Path)}/queue/{name}")).Trim();
}
