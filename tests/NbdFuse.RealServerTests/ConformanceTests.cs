using NbdFuse.Block;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>The conformance list over every server: transports and numbers of connections pairwise, not in full.</summary>
public sealed class ConformanceTests
{
    // A tail that is no whole page.
    private const long Size = (8 << 20) + 4608;

    [Theory]
    [InlineData(RealServerKind.Nbdkit, ServerTransport.Unix, 4)]
    [InlineData(RealServerKind.Nbdkit, ServerTransport.Tcp, 1)]
    [InlineData(RealServerKind.NbdServer, ServerTransport.Unix, 1)]
    [InlineData(RealServerKind.NbdServer, ServerTransport.Tcp, 4)]
    [InlineData(RealServerKind.QemuNbd, ServerTransport.Unix, 1)]
    [InlineData(RealServerKind.QemuNbd, ServerTransport.Tcp, 4)]
    [InlineData(RealServerKind.QemuStorageDaemon, ServerTransport.Unix, 4)]
    [InlineData(RealServerKind.QemuStorageDaemon, ServerTransport.Tcp, 1)]
    [InlineData(RealServerKind.Embedded, ServerTransport.Unix, 1)]
    [InlineData(RealServerKind.Embedded, ServerTransport.Tcp, 4)]
    public async Task Every_case_holds_over_every_server(RealServerKind kind, ServerTransport transport, int connections)
    {
        await using RealServer server = await RealServers.StartAsync(kind, new() { Transport = transport, Size = Size });
        await using ClientStack stack = await ClientStack.OpenAsync(server, connections);
        Assert.Equal(Size, stack.Queue.Info.Size);
        Assert.True(stack.Export.Negotiated.Export.CanMultiConn, "every one of these servers advertises CAN_MULTI_CONN");
        Assert.Equal(connections, stack.Export.Connections);

        await stack.ConformAsync();

        Assert.Equal(connections, stack.Export.RequestsPerConnection.Count);
        Assert.All(stack.Export.RequestsPerConnection, count => Assert.True(count > 0, "a connection was never used"));
    }

    [Theory]
    [InlineData(ServerTransport.Unix, 1, "memory", "8M")]
    [InlineData(ServerTransport.Tcp, 4, "memory", "8M")]
    [InlineData(ServerTransport.Unix, 4, "--no-sr", "memory", "8M")]
    [InlineData(ServerTransport.Unix, 2, "--filter=noparallel", "memory", "8M", "serialize=all-requests")]
    [InlineData(ServerTransport.Unix, 1, "--filter=fua", "memory", "8M")]
    [InlineData(ServerTransport.Unix, 4, "--filter=fua", "memory", "8M", "fuamode=force")]
    [InlineData(ServerTransport.Tcp, 1, "--filter=cache", "memory", "8M")]
    [InlineData(ServerTransport.Unix, 1, "--filter=multi-conn", "memory", "8M", "multi-conn-mode=disable")]
    [InlineData(ServerTransport.Unix, 1, "--filter=nozero", "memory", "8M", "zeromode=emulate")]
    [InlineData(ServerTransport.Unix, 1, "--filter=nozero", "memory", "8M", "zeromode=notrim")]
    [InlineData(ServerTransport.Unix, 1, "--filter=truncate", "memory", "9M", "truncate=8388000")]
    public async Task Every_case_holds_over_nbdkit_with_filters(ServerTransport transport, int connections, params string[] args)
    {
        await using RealServer server = await RealServers.Nbdkit(transport, args);
        await using ClientStack stack = await ClientStack.OpenAsync(server, connections);
        await stack.ConformAsync();
    }

    [Fact]
    public async Task A_server_without_multi_conn_gets_one_connection()
    {
        await using RealServer server = await RealServers.Nbdkit("--filter=multi-conn", "memory", "8M", "multi-conn-mode=disable");
        await using ClientStack stack = await ClientStack.OpenAsync(server, 4);
        Assert.False(stack.Export.Negotiated.Export.CanMultiConn);
        Assert.Equal(1, stack.Export.Connections);
        await stack.VerifyAsync(0, new byte[4096]);
    }

    [Theory]
    [InlineData(RealServerKind.Nbdkit, ServerTransport.Unix)]
    [InlineData(RealServerKind.NbdServer, ServerTransport.Tcp)]
    [InlineData(RealServerKind.QemuNbd, ServerTransport.Unix)]
    [InlineData(RealServerKind.QemuStorageDaemon, ServerTransport.Tcp)]
    [InlineData(RealServerKind.Embedded, ServerTransport.Unix)]
    public async Task A_read_only_export_is_read_and_refuses_writes(RealServerKind kind, ServerTransport transport)
    {
        byte[] content = PatternData.Create(1, 0, 4 << 20);
        await using RealServer server = await RealServers.StartAsync(
            kind, new() { Transport = transport, Content = content, ReadOnly = true });
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        Assert.True(stack.Export.Negotiated.Export.IsReadOnly);
        await stack.ConformAsync();
        await stack.VerifyAsync(0, content);
        Assert.Equal(BlockErrno.EROFS, await stack.Target.WriteAsync(0, new byte[512]));
        Assert.Equal(BlockErrno.EROFS, await stack.Target.TrimAsync(0, 4096));
        PatternData.AssertEqual(content, server.ReadBacking(0, content.Length));
    }

    [Fact]
    public async Task Asking_for_read_only_protects_an_export_that_could_be_written()
    {
        byte[] content = PatternData.Create(2, 0, 4 << 20);
        await using RealServer server = await RealServers.StartAsync(RealServerKind.Embedded, new() { Content = content });
        await using ClientStack stack = await ClientStack.OpenAsync(server, readOnly: true);
        Assert.False(stack.Export.Negotiated.Export.IsReadOnly);
        await stack.ConformAsync();
        PatternData.AssertEqual(content, server.ReadBacking(0, content.Length));
    }
}
