using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Server;

/// <summary>Clients that others wrote, against our server.</summary>
public sealed class RealClientTests
{
    [Theory]
    [InlineData(ServerTransport.Unix)]
    [InlineData(ServerTransport.Tcp)]
    public async Task Nbdinfo_understands_everything(ServerTransport transport)
    {
        Requires.Command("nbdinfo");
        await using EmbeddedServer server = await StartAsync(transport);
        ToolResult result = (await Tool.RunAsync("nbdinfo", "--json", server.Uri)).EnsureSuccess();
        foreach (string expected in new[]
        {
            "\"protocol\": \"newstyle-fixed\"", "\"structured\": true", "\"export-size\": 67108864", "\"can_multi_conn\": true",
            "\"can_fua\": true", "\"can_flush\": true", "\"can_trim\": true", "\"can_zero\": true", "\"can_df\": true",
            "\"can_cache\": true", "\"can_fast_zero\": true", "\"block_size_minimum\": 1", "\"description\": \"sixty-four\"",
        })
        {
            Assert.Contains(expected, result.Output);
        }
    }

    [Fact]
    public async Task Nbdinfo_lists_the_exports()
    {
        Requires.Command("nbdinfo");
        await using EmbeddedServer server = await StartAsync();
        ToolResult result = (await Tool.RunAsync("nbdinfo", "--list", "--json", server.Uri)).EnsureSuccess();
        Assert.Contains("\"export-name\": \"disk\"", result.Output);
        Assert.Contains("\"export-name\": \"spare\"", result.Output);
    }

    [Fact]
    public async Task Nbdcopy_copies_there_and_back()
    {
        Requires.Command("nbdcopy");
        await using EmbeddedServer server = await StartAsync();
        byte[] image = new byte[64 << 20];
        PatternData.Fill(image.AsSpan(1 << 20, 20 << 20), 1, 0);
        string source = server.Directory.CreateFile("source", image);
        string copy = server.Directory["copy"];
        (await Tool.RunAsync("nbdcopy", "--flush", source, server.Uri)).EnsureSuccess();
        (await Tool.RunAsync("nbdcopy", server.Uri, copy)).EnsureSuccess();
        PatternData.AssertEqual(image, File.ReadAllBytes(copy));
    }

    [Fact]
    public async Task Qemu_img_converts_and_compares()
    {
        Requires.Command("qemu-img");
        await using EmbeddedServer server = await StartAsync();
        byte[] image = new byte[64 << 20];
        PatternData.Fill(image.AsSpan(3 << 20, 10 << 20), 2, 0);
        string source = server.Directory.CreateFile("source", image);
        (await Tool.RunAsync("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, server.Uri)).EnsureSuccess();
        (await Tool.RunAsync("qemu-img", "compare", "-f", "raw", "-F", "raw", source, server.Uri)).EnsureSuccess();
    }

    [Fact]
    public async Task Qemu_io_writes_zeroes_discards_and_verifies()
    {
        Requires.Command("qemu-io");
        await using EmbeddedServer server = await StartAsync();
        ToolResult result = await Tool.RunAsync(
            "qemu-io", "-f", "raw", "-d", "unmap",
            "-c", "write -P 0x55 0 1M", "-c", "write -z 64k 64k", "-c", "write -z -u 256k 128k", "-c", "discard 512k 64k",
            "-c", "flush", "-c", "write -f -P 0x66 1000 3000", "-c", "read -P 0x66 1000 3000", "-c", "read -P 0 64k 64k",
            "-c", "read -P 0 256k 128k", "-c", "read -P 0x55 128k 128k", server.Uri);
        result.EnsureSuccess();
        Assert.DoesNotContain("verification failed", result.Output);
    }

    [Fact]
    public async Task Fio_verifies_its_checksums_at_depth_32()
    {
        string fio = Requires.Command("fio");
        if (!Tool.Run(fio, "--enghelp").Output.Contains("nbd"))
        {
            Requires.Missing("fio-nbd", "fio has no nbd engine");
        }

        await using EmbeddedServer server = await StartAsync();
        (await Tool.RunAsync(
            fio, "--name=verify", "--ioengine=nbd", $"--uri={server.Uri}", "--rw=randwrite", "--bs=4k", "--iodepth=32",
            "--size=16m", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--output-format=terse")).EnsureSuccess();
    }

    private static Task<EmbeddedServer> StartAsync(ServerTransport transport = ServerTransport.Unix) => RealServers.Embedded(
        () => new MemoryExport(64 << 20),
        backend => new NbdServerOptions
        {
            Exports =
            [
                new NbdServerExport { Name = "disk", Description = "sixty-four", Backend = backend },
                new NbdServerExport { Name = "spare", Backend = backend, ReadOnly = true },
            ],
        },
        transport);
}
