using NbdFuse.Block;
using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>Sizes and block sizes of every kind.</summary>
public sealed class GeometryTests
{
    public static TheoryData<RealServerKind, long> OddSizes
    {
        get
        {
            var data = new TheoryData<RealServerKind, long>();
            foreach (RealServerKind kind in new[] { RealServerKind.Nbdkit, RealServerKind.NbdServer, RealServerKind.Embedded })
            {
                foreach (long size in new long[] { 1, 511, 513, (1 << 20) + 1 })
                {
                    data.Add(kind, size);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(OddSizes))]
    public async Task Every_byte_of_an_odd_size_is_read_and_written(RealServerKind kind, long size)
    {
        byte[] content = PatternData.Create(1, 0, (int)size);
        await using RealServer server = await RealServers.StartAsync(kind, new() { Content = content });
        await using ClientStack stack = await ClientStack.OpenAsync(server, 2);
        Assert.Equal(size, stack.Queue.Info.Size);
        await stack.VerifyAsync(0, content);

        byte[] last = [(byte)~content[^1]];
        await stack.WriteAsync(size - 1, last);
        await stack.VerifyAsync(size - 1, last);
        content[^1] = last[0];
        byte[] first = PatternData.Create(2, 0, (int)Math.Min(size, 100));
        await stack.WriteAsync(0, first);
        first.CopyTo(content, 0);
        await stack.VerifyAsync(0, content);
        await stack.FlushAsync();
        Assert.NotEqual(0, await stack.ReadErrorAsync(size, 1));
        Assert.NotEqual(0, await stack.Target.WriteAsync(size, [1]));

        Assert.Equal(size, new FileInfo(server.BackingFile!).Length);
        PatternData.AssertEqual(content, server.ReadBacking(0, content.Length));
    }

    [Theory]
    [InlineData(RealServerKind.QemuNbd)]
    [InlineData(RealServerKind.QemuStorageDaemon)]
    public async Task Qemu_rounds_an_odd_size_and_the_content_is_right(RealServerKind kind)
    {
        byte[] content = PatternData.Create(3, 0, (1 << 20) + 1);
        await using RealServer server = await RealServers.StartAsync(kind, new() { Content = content, ReadOnly = true });
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        Assert.Equal((1 << 20) + 512, stack.Queue.Info.Size);
        byte[] padded = new byte[(1 << 20) + 512];
        content.CopyTo(padded, 0);
        await stack.VerifyAsync(0, padded);
    }

    [Theory]
    [InlineData(RealServerKind.Nbdkit)]
    [InlineData(RealServerKind.QemuNbd)]
    [InlineData(RealServerKind.Embedded)]
    public async Task An_empty_export_can_be_opened_and_holds_nothing(RealServerKind kind)
    {
        await using RealServer server = await RealServers.StartAsync(kind, new() { Size = 0 });
        await using ClientStack stack = await ClientStack.OpenAsync(server, 2);
        Assert.Equal(0, stack.Queue.Info.Size);
        Assert.Empty(await stack.ReadAsync(0, 0));
        Assert.NotEqual(0, await stack.ReadErrorAsync(0, 1));
        Assert.NotEqual(0, await stack.Target.WriteAsync(0, [1]));
        await stack.FlushAsync();
        Assert.False(stack.Export.Failure.IsCompleted);
    }

    [Fact]
    public async Task The_largest_size_of_all_is_read_at_its_very_end()
    {
        await using RealServer server = await RealServers.Nbdkit("pattern", $"size={long.MaxValue}");
        await using ClientStack stack = await ClientStack.OpenAsync(server, 4);
        Assert.Equal(long.MaxValue, stack.Queue.Info.Size);
        foreach (int length in new[] { 1, 7, 511, 512, 513, 100_000 })
        {
            await stack.VerifyAsync(long.MaxValue - length, NbdkitPattern.Create(long.MaxValue - length, length));
        }

        await stack.VerifyAsync(long.MaxValue - 4096, NbdkitPattern.Create(long.MaxValue - 4096, 1000));
        Assert.NotEqual(0, await stack.ReadErrorAsync(long.MaxValue, 1));
        Assert.NotEqual(0, await stack.ReadErrorAsync(long.MaxValue - 1, 2));
    }

    [Fact]
    public async Task The_largest_size_of_all_is_written_zeroed_and_trimmed()
    {
        await using RealServer server = await RealServers.Nbdkit("null", $"size={long.MaxValue}");
        await using ClientStack stack = await ClientStack.OpenAsync(server, 4);
        await stack.WriteAsync(long.MaxValue - 1, [1]);
        await stack.WriteAsync(long.MaxValue - 100_000, new byte[100_000]);

        // 5 GiB: more than one command can name.
        Assert.Equal(0, await stack.RunAsync(BlockOperation.WriteZeroes, 0, long.MaxValue - (5L << 30), 5L << 30));
        Assert.Equal(0, await stack.RunAsync(BlockOperation.Trim, 0, 1, 5L << 30));
        await stack.FlushAsync();
    }

    [Theory]
    [InlineData(512, 4096, 33554432)]
    [InlineData(4096, 4096, 65536)]
    [InlineData(65536, 65536, 131072)]
    [InlineData(1, 512, 8192)]
    [InlineData(512, 512, 4096)]
    public async Task Block_sizes_are_obeyed_by_every_request(uint minimum, uint preferred, uint maximum)
    {
        // A request that breaks a rule would fail.
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=blocksize-policy", "memory", $"{(5 << 20) + 3}", "blocksize-error-policy=error", $"blocksize-minimum={minimum}",
            $"blocksize-preferred={preferred}", $"blocksize-maximum={maximum}");
        await using ClientStack stack = await ClientStack.OpenAsync(server.Uri, new() { WriteLogBytes = 64 << 20 });
        BlockDeviceInfo info = stack.Export.Info;
        Assert.Equal((int)minimum, info.MinimumBlock);
        Assert.Equal((int)preferred, info.PreferredBlock);
        Assert.Equal((int)maximum, info.MaximumPayload);
        Assert.Equal((5 << 20) + 3, info.ExportSize);
        Assert.Equal(minimum == 1 ? (5 << 20) + 3 : 5 << 20, info.Size);
        await stack.ConformAsync();
    }

    [Fact]
    public async Task Our_server_with_block_sizes_is_obeyed()
    {
        using var memory = new MemoryExport((5 << 20) + 512);
        await using RealServer server = await RealServers.Embedded(() => memory, backend => new()
        {
            Exports = [new() { Backend = backend, BlockSizes = new(4096, 65536, 131072) }],
        });
        await using ClientStack stack = await ClientStack.OpenAsync(server, 4);
        Assert.Equal(5 << 20, stack.Export.Info.Size);
        await stack.ConformAsync();
    }
}
