using System.Text.Json;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>What is negotiated with each server, with and without its modern options.</summary>
public sealed class NegotiationTests
{
    [Theory]
    [InlineData(RealServerKind.Nbdkit, ServerTransport.Tcp, true)]
    [InlineData(RealServerKind.NbdServer, ServerTransport.Unix, false)]
    [InlineData(RealServerKind.QemuNbd, ServerTransport.Tcp, true)]
    [InlineData(RealServerKind.QemuStorageDaemon, ServerTransport.Unix, true)]
    [InlineData(RealServerKind.Embedded, ServerTransport.Tcp, true)]
    public async Task Each_server_is_understood_as_nbdinfo_understands_it(RealServerKind kind, ServerTransport transport, bool structured)
    {
        Requires.Command("nbdinfo");
        await using RealServer server = await RealServers.StartAsync(
            kind, new() { Transport = transport, ExportName = "disk", Size = (4 << 20) + 512 });
        await using NbdExport export = await ClientStack.ConnectAsync(server.Uri);
        NbdNegotiated ours = export.Negotiated;
        Assert.Equal((4ul << 20) + 512, ours.Export.Size);
        Assert.True(ours.FixedNewstyle);
        Assert.True(ours.UsedOptGo);
        Assert.Equal(structured, ours.StructuredReplies);

        ToolResult theirs = (await Tool.RunAsync("nbdinfo", "--json", server.Uri)).EnsureSuccess();
        using JsonDocument document = JsonDocument.Parse(theirs.Output);
        Assert.Equal(document.RootElement.GetProperty("protocol").GetString(), ours.ProtocolName);
        Assert.Equal(document.RootElement.GetProperty("structured").GetBoolean(), ours.StructuredReplies);
        JsonElement disk = document.RootElement.GetProperty("exports")[0];
        foreach ((string name, bool value) in new[]
        {
            ("is_read_only", ours.Export.IsReadOnly), ("is_rotational", ours.Export.IsRotational), ("can_cache", ours.Export.CanCache),
            ("can_df", ours.Export.CanDf), ("can_fast_zero", ours.Export.CanFastZero), ("can_flush", ours.Export.CanFlush),
            ("can_fua", ours.Export.CanFua), ("can_multi_conn", ours.Export.CanMultiConn), ("can_trim", ours.Export.CanTrim),
            ("can_zero", ours.Export.CanWriteZeroes),
        })
        {
            Assert.True(disk.GetProperty(name).GetBoolean() == value, $"{name} is not {value}: {theirs.Output}");
        }

        Assert.Equal(disk.TryGetProperty("block_size_minimum", out JsonElement minimum), ours.Export.BlockSizes is not null);
        if (ours.Export.BlockSizes is NbdBlockSizes sizes)
        {
            Assert.Equal(minimum.GetUInt32(), sizes.Minimum);
            Assert.Equal(disk.GetProperty("block_size_preferred").GetUInt32(), sizes.Preferred);
            Assert.Equal(disk.GetProperty("block_size_maximum").GetUInt32(), sizes.Maximum);
        }

        Assert.Equal(disk.TryGetProperty("description", out JsonElement text) ? text.GetString() : null, ours.Export.Description);
    }

    [Fact]
    public async Task The_description_of_an_export_is_told()
    {
        await using RealServer qemu = await RealServers.QemuNbd(new() { ExportName = "a", Extra = ["-D", "die Platte – über 1\u00b5s"] });
        await using NbdExport first = await ClientStack.ConnectAsync(qemu.Uri);
        Assert.Equal("die Platte – über 1\u00b5s", first.Negotiated.Export.Description);

        await using RealServer nbdkit = await RealServers.Nbdkit("--filter=exportname", "null", "1M", "exportdesc=fixed:a null disk");
        await using NbdExport second = await ClientStack.ConnectAsync(nbdkit.Uri);
        Assert.Equal("a null disk", second.Negotiated.Export.Description);

        using var memory = new MemoryExport(1 << 20);
        await using RealServer own = await RealServers.Embedded(
            () => memory, backend => new() { Exports = [new() { Backend = backend, Description = "ours" }] });
        await using NbdExport third = await ClientStack.ConnectAsync(own.Uri);
        Assert.Equal("ours", third.Negotiated.Export.Description);
    }

    [Fact]
    public async Task The_name_of_the_default_export_is_told()
    {
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=exportname", "null", "1M", "default-export=canonical");
        await using NbdExport export = await ClientStack.ConnectAsync(server.Uri);
        Assert.Equal("canonical", export.Negotiated.Export.CanonicalName);
    }

    [Theory]
    [InlineData(RealServerKind.NbdServer, "")]
    [InlineData(RealServerKind.QemuNbd, "export 'nope' not present")]
    [InlineData(RealServerKind.QemuStorageDaemon, "export 'nope' not present")]
    [InlineData(RealServerKind.Embedded, "nope")]
    public async Task An_unknown_export_is_refused_with_the_text_of_the_server(RealServerKind kind, string text)
    {
        await using RealServer server = await RealServers.StartAsync(kind, new() { ExportName = "disk" });
        NbdServerErrorException error = await Assert.ThrowsAsync<NbdServerErrorException>(
            () => ClientStack.ConnectAsync(NbdUris.For(server.EndPoint, "nope")));
        Assert.Equal(NbdOptionReplyType.ErrUnknown, error.Code);
        Assert.Contains("nope", error.Message);
        Assert.Contains(text, error.Message);
        Assert.Contains("no such export", error.Message);

        // The server has not suffered.
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        await stack.VerifyAsync(0, new byte[512]);
    }

    [Fact]
    public async Task An_export_that_nbdkit_refuses_is_named()
    {
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=exportname", "null", "1M", "exportname-strict=true", "exportname=disk");
        NbdException error = await Assert.ThrowsAnyAsync<NbdException>(
            () => ClientStack.ConnectAsync(NbdUris.For(server.EndPoint, "nope")));
        Assert.Contains("nope", error.Message);
        await using NbdExport export = await ClientStack.ConnectAsync(NbdUris.For(server.EndPoint, "disk"));
        Assert.Equal(1ul << 20, export.Negotiated.Export.Size);
    }

    [Theory]
    [InlineData("0", false)]
    [InlineData("1", true)]
    [InlineData("2", false)]
    public async Task Older_handshakes_end_in_the_same_export(string mask, bool fixedNewstyle)
    {
        await using RealServer server = await RealServers.Nbdkit($"--mask-handshake={mask}", "memory", "4M");
        await using ClientStack stack = await ClientStack.OpenAsync(server, 2);
        NbdNegotiated negotiated = stack.Export.Negotiated;
        Assert.Equal(fixedNewstyle, negotiated.FixedNewstyle);
        Assert.Equal(fixedNewstyle, negotiated.UsedOptGo);
        Assert.Equal(fixedNewstyle, negotiated.StructuredReplies);
        Assert.Equal(4ul << 20, negotiated.Export.Size);
        Assert.Equal(fixedNewstyle ? "newstyle-fixed" : "newstyle", negotiated.ProtocolName);

        // Had the 124 zeroes been left in the stream, or too much been taken out of it, no reply would be understood.
        byte[] data = PatternData.Create(1, 0, 1 << 20);
        await stack.WriteAsync(0, data);
        await stack.VerifyAsync(0, data);
    }

    [Fact]
    public async Task An_oldstyle_server_is_refused_by_name()
    {
        await using RealServer server = await RealServers.Nbdkit("-o", "memory", "4M");
        NbdException error = await Assert.ThrowsAnyAsync<NbdException>(() => ClientStack.ConnectAsync(server.Uri));
        Assert.Contains("oldstyle", error.Message);
    }

    [Fact]
    public async Task Without_structured_replies_simple_ones_do()
    {
        await using RealServer server = await RealServers.Nbdkit("--no-sr", "pattern", "8M");
        await using ClientStack stack = await ClientStack.OpenAsync(server, 4);
        Assert.False(stack.Export.Negotiated.StructuredReplies);
        Assert.True(stack.Export.Negotiated.UsedOptGo);
        await Task.WhenAll(Enumerable.Range(0, 64).Select(
            i => stack.VerifyAsync(i * 100_000, NbdkitPattern.Create(i * 100_000, 1 + (i * 1999)))));
    }

    [Fact]
    public async Task A_server_that_requires_tls_is_refused_with_a_remedy()
    {
        using var directory = new TempDirectory();
        string keys = directory.CreateFile("keys.psk", "user:0123456789abcdef0123456789abcdef\n"u8);
        await using RealServer server = await RealServers.Nbdkit("--tls=require", $"--tls-psk={keys}", "null", "1M");
        NbdException error = await Assert.ThrowsAnyAsync<NbdException>(() => ClientStack.ConnectAsync(server.Uri));
        Assert.Contains("TLS", error.Message);
    }

    [Fact]
    public async Task Something_that_is_no_nbd_server_is_refused()
    {
        await using RealServer server = await RealServers.Nbdkit("null", "1M");
        await using var proxy = new FaultProxy(server) { ToClient = _ => new() { CorruptAt = 0 } };
        NbdException error = await Assert.ThrowsAnyAsync<NbdException>(() => ClientStack.ConnectAsync(proxy.Uri));
        Assert.Contains("NBD", error.Message);
    }
}
