using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>Listing and looking at the exports of each server.</summary>
public sealed class ListTests
{
    [Theory]
    [InlineData(RealServerKind.Nbdkit, ServerTransport.Unix)]
    [InlineData(RealServerKind.NbdServer, ServerTransport.Tcp)]
    [InlineData(RealServerKind.QemuNbd, ServerTransport.Unix)]
    [InlineData(RealServerKind.QemuStorageDaemon, ServerTransport.Tcp)]
    [InlineData(RealServerKind.Embedded, ServerTransport.Unix)]
    public async Task Info_tells_the_true_size(RealServerKind kind, ServerTransport transport)
    {
        await using RealServer server = await RealServers.StartAsync(
            kind, new() { Transport = transport, ExportName = "disk", Size = (4 << 20) + 512 });
        NbdServerInfo info = await Deadline.Within(NbdProbe.InfoAsync(Target(server), server.ExportName), "the information");
        NbdListedExport export = Assert.Single(info.Exports);
        Assert.Equal("newstyle-fixed", info.Protocol);
        Assert.Equal((4ul << 20) + 512, export.Info!.Size);
        Assert.False(export.Info.IsReadOnly);
        Assert.True(export.Info.CanFlush);
    }

    [Theory]
    [InlineData(RealServerKind.Nbdkit, "")]
    [InlineData(RealServerKind.NbdServer, "disk")]
    [InlineData(RealServerKind.QemuNbd, "disk")]
    [InlineData(RealServerKind.QemuStorageDaemon, "disk")]
    [InlineData(RealServerKind.Embedded, "disk")]
    public async Task Listing_finds_the_export_and_its_size(RealServerKind kind, string name)
    {
        await using RealServer server = await RealServers.StartAsync(kind, new() { ExportName = "disk", Size = 4 << 20 });
        NbdServerInfo info = await ListAsync(server);
        NbdListedExport export = Assert.Single(info.Exports);
        Assert.Equal(name, export.Name);
        Assert.Null(export.InfoError);
        Assert.Equal(4ul << 20, export.Info!.Size);
    }

    [Fact]
    public async Task Nbd_server_that_forbids_listing_is_reported_with_the_reason()
    {
        // Of two lines with one key the last counts.
        await using RealServer server = await RealServers.NbdServer(new() { Extra = ["[generic]", "allowlist = false"] });
        NbdServerErrorException error = await Assert.ThrowsAsync<NbdServerErrorException>(() => ListAsync(server));
        Assert.Equal(NbdOptionReplyType.ErrPolicy, error.Code);
        Assert.Contains("its configuration forbids it", error.Message);

        await using ClientStack stack = await ClientStack.OpenAsync(server);
        await stack.VerifyAsync(0, new byte[512]);
    }

    [Fact]
    public async Task All_exports_of_nbd_server_are_listed()
    {
        using var directory = new TempDirectory();
        string other = directory.CreateFile("other.img", 2 << 20);
        await using RealServer server = await RealServers.NbdServer(
            new() { ExportName = "first", Size = 1 << 20, Extra = ["[second]", $"exportname = {other}", "readonly = true"] });
        NbdServerInfo info = await ListAsync(server);
        Assert.Equal(["first", "second"], info.Exports.Select(e => e.Name).Order());
        Assert.Equal(1ul << 20, info.Exports.Single(e => e.Name == "first").Info!.Size);
        Assert.Equal(2ul << 20, info.Exports.Single(e => e.Name == "second").Info!.Size);
        Assert.True(info.Exports.Single(e => e.Name == "second").Info!.IsReadOnly);
    }

    [Fact]
    public async Task All_exports_of_qemu_are_listed_with_their_descriptions()
    {
        await using RealServer server = await RealServers.QemuStorageDaemon(new()
        {
            ExportName = "first",
            Size = 1 << 20,
            Extra =
            [
                "--blockdev", "driver=null-co,node-name=null,size=2097152,read-zeroes=on",
                "--export", "type=nbd,id=more,node-name=null,name=second,description=the second,writable=off",
            ],
        });
        NbdServerInfo info = await ListAsync(server);
        Assert.Equal(["first", "second"], info.Exports.Select(e => e.Name).Order());
        NbdListedExport second = info.Exports.Single(e => e.Name == "second");
        Assert.Equal("the second", second.Description ?? second.Info!.Description);
        Assert.Equal(2ul << 20, second.Info!.Size);
        Assert.True(second.Info.IsReadOnly);
    }

    [Fact]
    public async Task The_explicit_exports_of_nbdkit_are_listed()
    {
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=exportname", "null", "1M", "exportname-list=explicit", "exportname=a", "exportname=b c", "exportname=\u00fc");
        NbdServerInfo info = await ListAsync(server);
        Assert.Equal(["a", "b c", "\u00fc"], info.Exports.Select(e => e.Name).Order(StringComparer.Ordinal));
        foreach (NbdListedExport export in info.Exports)
        {
            Assert.Equal(1ul << 20, export.Info!.Size);
            await using NbdExport open = await ClientStack.ConnectAsync(NbdUris.For(server.EndPoint, export.Name));
            Assert.Equal(1ul << 20, open.Negotiated.Export.Size);
        }
    }

    [Fact]
    public async Task A_server_without_exports_lists_none()
    {
        await using RealServer server = await RealServers.Nbdkit("--filter=exportname", "null", "1M", "exportname-list=empty");
        Assert.Empty((await ListAsync(server)).Exports);
    }

    [Fact]
    public async Task A_server_that_fails_to_list_is_reported()
    {
        await using RealServer server = await RealServers.Nbdkit("--filter=exportname", "null", "1M", "exportname-list=error");
        await Assert.ThrowsAsync<NbdServerErrorException>(() => ListAsync(server));
    }

    [Fact]
    public async Task Many_exports_of_our_server_are_listed()
    {
        using var memory = new MemoryExport(1 << 20);
        await using RealServer server = await RealServers.Embedded(() => memory, backend => new()
        {
            Exports = [.. Enumerable.Range(0, 50).Select(i => new NbdServerExport { Name = $"disk{i}", Backend = backend, Description = $"number {i}" })],
        });
        NbdServerInfo info = await ListAsync(server);
        Assert.Equal(Enumerable.Range(0, 50).Select(i => $"disk{i}"), info.Exports.Select(e => e.Name));
        Assert.Equal(Enumerable.Range(0, 50).Select(i => $"number {i}"), info.Exports.Select(e => e.Description));
        Assert.All(info.Exports, export => Assert.Equal(1ul << 20, export.Info!.Size));
    }

    [Fact]
    public async Task A_server_too_old_to_list_is_reported_with_a_remedy()
    {
        await using RealServer server = await RealServers.Nbdkit("--mask-handshake=0", "null", "1M");
        NbdException error = await Assert.ThrowsAnyAsync<NbdException>(() => ListAsync(server));
        Assert.Contains("too old to list", error.Message);
    }

    private static NbdTarget Target(RealServer server) => NbdTarget.FromUri(NbdUri.Parse(server.Uri));

    private static Task<NbdServerInfo> ListAsync(RealServer server) => Deadline.Within(NbdProbe.ListAsync(Target(server)), "the list");
}
