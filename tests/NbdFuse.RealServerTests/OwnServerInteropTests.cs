using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>Our server beside others, with clients that others wrote between them.</summary>
public sealed class OwnServerInteropTests
{
    [Theory]
    [InlineData(ServerTransport.Unix)]
    [InlineData(ServerTransport.Tcp)]
    public async Task Nbdcopy_copies_between_nbdkit_and_our_server_over_four_connections(ServerTransport transport)
    {
        Requires.Command("nbdcopy");
        Requires.Command("qemu-img");
        byte[] image = new byte[16 << 20];
        PatternData.Fill(image.AsSpan(1 << 20, 6 << 20), 1, 1 << 20);
        await using RealServer nbdkit = await RealServers.StartAsync(RealServerKind.Nbdkit, new() { Transport = transport, Content = image });
        await using RealServer own = await RealServers.StartAsync(
            RealServerKind.Embedded, new() { Transport = transport, Size = image.Length });
        (await Tool.RunAsync("nbdcopy", "--connections=4", "--flush", nbdkit.Uri, own.Uri)).EnsureSuccess();
        PatternData.AssertEqual(image, own.ReadBacking(0, image.Length));
        (await Tool.RunAsync("qemu-img", "compare", "-f", "raw", "-F", "raw", nbdkit.Uri, own.Uri)).EnsureSuccess();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(1025)]
    public async Task Nbdinfo_and_nbdcopy_take_odd_sizes(long size)
    {
        Requires.Command("nbdinfo");
        Requires.Command("nbdcopy");
        byte[] content = PatternData.Create(2, 0, (int)size);
        await using RealServer server = await RealServers.StartAsync(RealServerKind.Embedded, new() { Content = content });
        Assert.Equal($"{size}", (await Tool.RunAsync("nbdinfo", "--size", server.Uri)).EnsureSuccess().Output.Trim());
        string copy = server.Directory["copy"];
        (await Tool.RunAsync("nbdcopy", server.Uri, copy)).EnsureSuccess();
        PatternData.AssertEqual(content, File.ReadAllBytes(copy));
    }

    [Fact]
    public async Task Fio_verifies_over_several_jobs_and_tcp()
    {
        Requires.Command("fio");
        ToolResult engines = await Tool.RunAsync("fio", "--enghelp=nbd");
        if (engines.ExitCode != 0)
        {
            Requires.Missing("fio", "fio has no nbd engine");
        }

        await using RealServer server = await RealServers.StartAsync(
            RealServerKind.Embedded, new() { Transport = ServerTransport.Tcp, Size = 16 << 20 });
        (await Tool.RunAsync(
            "fio", "--name=verify", "--ioengine=nbd", $"--uri={server.Uri}", "--rw=randrw", "--bsrange=512-128k", "--bs_unaligned",
            "--iodepth=16", "--numjobs=2", "--size=8M", "--offset_increment=8M", "--verify=crc32c", "--verify_fatal=1",
            "--group_reporting")).EnsureSuccess();
    }

    [Fact]
    public async Task Qemu_obeys_the_block_sizes_of_our_server()
    {
        Requires.Command("qemu-io");
        using var memory = new MemoryExport(1 << 20);
        await using EmbeddedServer server = await RealServers.Embedded(() => memory, backend => new()
        {
            Exports = [new() { Backend = backend, BlockSizes = new(4096, 4096, 65536) }],
        });
        ToolResult result = (await Tool.RunAsync(
            "qemu-io", "-f", "raw", "-c", "write -P 0x5a 1000 200000", "-c", "read -P 0x5a 1000 200000", "-c", "read -P 0 201000 1000",
            "-c", "flush", server.Uri)).EnsureSuccess();
        Assert.DoesNotContain("verification failed", result.Output);
    }

    [Fact]
    public async Task A_read_only_export_refuses_nbdcopy()
    {
        Requires.Command("nbdcopy");
        await using RealServer server = await RealServers.StartAsync(RealServerKind.Embedded, new() { Size = 1 << 20, ReadOnly = true });
        string source = server.Directory.CreateFile("source", PatternData.Create(3, 0, 1 << 20));
        Assert.NotEqual(0, (await Tool.RunAsync("nbdcopy", source, server.Uri)).ExitCode);
        PatternData.AssertZero(server.ReadBacking(0, 1 << 20));
    }
}
