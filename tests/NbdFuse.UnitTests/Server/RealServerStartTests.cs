using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Server;

/// <summary>The test kit's own promises about the servers that it starts.</summary>
public sealed class RealServerStartTests
{
    public static TheoryData<RealServerKind, ServerTransport> Servers => [
        .. RealServers.Kinds.SelectMany(kind => Enum.GetValues<ServerTransport>().Select(
            transport => new TheoryDataRow<RealServerKind, ServerTransport>(kind, transport)))];

    [Theory]
    [MemberData(nameof(Servers))]
    public async Task Server_serves_its_file_and_restarts_at_its_address_after_a_kill(RealServerKind kind, ServerTransport transport)
    {
        byte[] content = PatternData.Create(1, 0, 4 << 20);
        await using RealServer server = await RealServers.StartAsync(
            kind, new RealServerOptions { Transport = transport, Content = content, ExportName = "disk" });
        byte[] data = PatternData.Create(2, 4096, 8192);
        using (WireClient client = await WireClient.OpenAsync(server.EndPoint, structured: false, server.ExportName))
        {
            Assert.Equal(content[..512], await client.ReadSimpleDataAsync(0, 512));
            Assert.Equal(NbdError.None, await client.WriteAsync(4096, data));
            Assert.Equal(NbdError.None, await client.SimpleAsync(NbdCommand.Flush));
            PatternData.AssertEqual(data, server.ReadBacking(4096, data.Length), 4096);
            server.Kill();
            Assert.True(await client.IsClosedAsync());
        }

        await server.RestartAsync();
        using WireClient again = await WireClient.OpenAsync(server.EndPoint, structured: false, server.ExportName);
        PatternData.AssertEqual(data, await again.ReadSimpleDataAsync(4096, data.Length), 4096);
    }

    [Fact]
    public async Task Nbdkit_takes_filters_and_plugins()
    {
        await using RealServer server = await RealServers.Nbdkit("--filter=error", "memory", "1M", "error-pread=EIO", "error-pread-rate=100%");
        using WireClient client = await WireClient.OpenAsync(server.EndPoint, structured: false);
        Assert.Equal(NbdError.Io, await client.SimpleAsync(NbdCommand.Read, 0, 512));
    }

    [Fact]
    public async Task Server_that_cannot_start_says_why()
    {
        Requires.Command("nbdkit");
        ServerStartException error = await Assert.ThrowsAsync<ServerStartException>(
            () => RealServers.Nbdkit("memory", "size=nonsense"));
        Assert.Contains("nonsense", error.Message);
    }

    [Fact]
    public async Task Program_that_dies_with_its_parent_outlives_the_thread_that_asked_for_it()
    {
        // nbdkit in the foreground is such a program.
        Requires.Command("setpriv");
        BackgroundTool? tool = null;
        Thread asks = new(() => tool = new BackgroundTool("setpriv", "--pdeathsig", "TERM", "sleep", "600"));
        asks.Start();
        asks.Join();
        await using BackgroundTool sleeps = tool!;
        using var soon = new CancellationTokenSource(TimeSpan.FromMilliseconds(500));

        // The kernel sends PR_SET_PDEATHSIG when the thread is gone, just after Join saw its managed end.
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sleeps.WaitForExitAsync(soon.Token));
    }
}
