using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>Servers that die, stop, or are left.</summary>
public sealed class ServerDeathTests
{
    [Theory]
    [InlineData(RealServerKind.Nbdkit, ServerTransport.Unix, 1)]
    [InlineData(RealServerKind.Nbdkit, ServerTransport.Tcp, 4)]
    [InlineData(RealServerKind.NbdServer, ServerTransport.Tcp, 1)]
    [InlineData(RealServerKind.NbdServer, ServerTransport.Unix, 4)]
    [InlineData(RealServerKind.QemuNbd, ServerTransport.Unix, 1)]
    [InlineData(RealServerKind.QemuStorageDaemon, ServerTransport.Tcp, 4)]
    public async Task Requests_in_flight_end_exactly_once_when_the_server_is_killed(
        RealServerKind kind, ServerTransport transport, int connections)
    {
        await using RealServer server = await RealServers.StartAsync(kind, new() { Transport = transport });
        await using ClientStack stack = await ClientStack.OpenAsync(server, connections, reconnect: false);
        await stack.WriteAsync(0, PatternData.Create(1, 0, 4096));
        await stack.FlushAsync();

        // Stopped, it answers nothing, so that everything is in flight for certain.
        Freeze(server);
        long before = stack.Sent;
        CountedRequest[] requests =
        [
            .. Enumerable.Range(0, 60).Select(i => stack.SubmitAsync(BlockOperation.Read, 0, i * 8192, 4096)),
            .. Enumerable.Range(60, 30).Select(i => stack.SubmitAsync(BlockOperation.Write, 0, i * 8192, 512)),
            .. Enumerable.Range(90, 8).Select(i => stack.SubmitAsync(BlockOperation.Read, 0, i * 131072, 131072)),
            stack.SubmitAsync(BlockOperation.Flush, 0, 0, 0),
        ];
        await Deadline.Until(() => stack.Sent - before >= requests.Length, "the requests to go out");
        Assert.All(requests, request => Assert.Equal(0, request.Ends));
        server.Kill();

        int[] errors = await stack.WithinAsync(Task.WhenAll(requests.Select(r => r.Ended)), "the requests to end");
        Assert.All(errors, error => Assert.Equal(BlockErrno.EIO, error));
        NbdException reason = await stack.FailureAsync();
        Assert.IsType<NbdDisconnectedException>(reason);
        Assert.Contains("server", reason.Message);

        // Whatever comes later ends at once, and nothing ends a second time.
        Assert.Equal(BlockErrno.EIO, await stack.RunAsync(BlockOperation.Read, 0, 0, 4096));
        Assert.Equal(BlockErrno.EIO, await stack.RunAsync(BlockOperation.Write, 0, 0, 131072));
        Assert.All(requests, request => Assert.Equal(1, request.Ends));
        Assert.True(stack.Queue.IsIdle);
    }

    // Not nbdkit: it waits for its clients to go.
    [Theory]
    [InlineData(RealServerKind.NbdServer)]
    [InlineData(RealServerKind.QemuNbd)]
    [InlineData(RealServerKind.QemuStorageDaemon)]
    [InlineData(RealServerKind.Embedded)]
    public async Task A_server_that_is_stopped_is_noticed_without_a_request(RealServerKind kind)
    {
        await using RealServer server = await RealServers.StartAsync(kind);
        await using ClientStack stack = await ClientStack.OpenAsync(server, 4, reconnect: false);
        await stack.ReadAsync(0, 4096);
        await server.StopAsync();
        if (kind == RealServerKind.NbdServer)
        {
            // Its workers outlive it, and go on serving.
            server.Kill();
        }

        NbdException reason = await stack.FailureAsync();
        Assert.NotEmpty(reason.Message);
        Assert.NotEqual(0, await stack.ReadErrorAsync(0, 4096));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public async Task A_polite_shutdown_ends_requests_in_flight_and_says_why(int connections)
    {
        await using RealServer server = await RealServers.Nbdkit("--filter=delay", "memory", "16M", "rdelay=600");
        await using ClientStack stack = await ClientStack.OpenAsync(server, connections, reconnect: false);
        CountedRequest[] requests =
            [.. Enumerable.Range(0, 12).Select(i => stack.SubmitAsync(BlockOperation.Read, 0, i * 65536, i % 2 == 0 ? 4096 : 65536))];
        await Deadline.Until(() => stack.Sent >= requests.Length, "the requests to go out");
        Task stopped = server.StopAsync();

        int[] errors = await stack.WithinAsync(Task.WhenAll(requests.Select(r => r.Ended)), "the requests to end");
        Assert.All(errors, error => Assert.True(error is BlockErrno.ESHUTDOWN or BlockErrno.EIO, $"errno {error}"));
        Assert.Contains(BlockErrno.ESHUTDOWN, errors);
        Assert.Contains("shutting down", (await stack.FailureAsync()).Message);
        Assert.NotEqual(0, await stack.ReadErrorAsync(0, 4096));
        Assert.All(requests, request => Assert.Equal(1, request.Ends));

        // The server waits for its clients to go.
        await stack.DisposeAsync();
        await stopped;
    }

    [Theory]
    [InlineData(RealServerKind.Nbdkit)]
    [InlineData(RealServerKind.NbdServer)]
    [InlineData(RealServerKind.QemuNbd)]
    [InlineData(RealServerKind.QemuStorageDaemon)]
    [InlineData(RealServerKind.Embedded)]
    public async Task What_was_flushed_is_in_the_file_after_the_server_was_killed(RealServerKind kind)
    {
        await using RealServer server = await RealServers.StartAsync(kind);
        await using ClientStack stack = await ClientStack.OpenAsync(server, 4);
        byte[] large = PatternData.Create(2, 1 << 20, 3 << 20);
        byte[] odd = PatternData.Create(3, 777, 5000);
        byte[] durable = PatternData.Create(4, 8 << 20, 65536);
        await Task.WhenAll(stack.WriteAsync(1 << 20, large), stack.WriteAsync(777, odd));
        await stack.FlushAsync();
        await stack.WriteAsync(8 << 20, durable, fua: true);
        server.Kill();

        PatternData.AssertEqual(large, server.ReadBacking(1 << 20, large.Length), 1 << 20);
        PatternData.AssertEqual(odd, server.ReadBacking(777, odd.Length), 777);
        PatternData.AssertEqual(durable, server.ReadBacking(8 << 20, durable.Length), 8 << 20);
        PatternData.AssertZero(server.ReadBacking(0, 777));
    }

    [Fact]
    public async Task A_flush_really_reaches_a_server_that_caches_writes()
    {
        using var directory = new TempDirectory();
        string file = directory.CreateFile("disk.img", 4 << 20);
        await using RealServer server = await RealServers.Nbdkit("--filter=cache", "file", file, "cache=writeback");
        await using ClientStack stack = await ClientStack.OpenAsync(server, 4);
        byte[] flushed = PatternData.Create(5, 65536, 262144);
        await stack.WriteAsync(65536, flushed);
        await stack.FlushAsync();
        byte[] durable = PatternData.Create(6, 1 << 20, 65536);
        await stack.WriteAsync(1 << 20, durable, fua: true);
        await stack.WriteAsync(3 << 20, PatternData.Create(7, 0, 65536));
        server.Kill();

        byte[] image = await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken);
        PatternData.AssertEqual(flushed, image.AsSpan(65536, flushed.Length), 65536);
        PatternData.AssertEqual(durable, image.AsSpan(1 << 20, durable.Length), 1 << 20);

        // The server did cache, or the above would prove nothing.
        PatternData.AssertZero(image.AsSpan(3 << 20, 65536), 3 << 20);
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(4, true)]
    [InlineData(4, false)]
    public async Task Closing_says_goodbye_on_every_connection(int connections, bool started)
    {
        using var directory = new TempDirectory();
        string log = directory["log"];
        await using RealServer server = await RealServers.Nbdkit("-v", "--filter=log", "memory", "4M", $"logfile={log}");
        if (started)
        {
            await using ClientStack stack = await ClientStack.OpenAsync(server, connections);
            await stack.ReadAsync(0, 4096);
        }
        else
        {
            await using NbdExport export = await ClientStack.ConnectAsync(server.Uri, new() { Connections = connections });
        }

        int Count(string text) => File.ReadAllLines(log).Count(line => line.Contains(text, StringComparison.Ordinal));
        await Deadline.Until(() => Count(" Disconnect ") == connections, "the server to see the connections end");
        Assert.Equal(connections, Count(" Connect "));

        // Without NBD_CMD_DISC the server would complain of a client that vanished.
        await Deadline.Until(
            () => server.Log.Split("client sent NBD_CMD_DISC").Length - 1 == connections, $"{connections} goodbyes in:\n{server.Log}");
    }

    [Fact]
    public async Task Closing_with_requests_in_flight_ends_them()
    {
        await using RealServer server = await RealServers.Nbdkit("--filter=delay", "memory", "16M", "rdelay=600");
        ClientStack stack = await ClientStack.OpenAsync(server, 4);
        CountedRequest[] requests =
            [.. Enumerable.Range(0, 20).Select(i => stack.SubmitAsync(BlockOperation.Read, 0, i * 131072, i % 2 == 0 ? 4096 : 131072))];
        await Deadline.Until(() => stack.Sent >= requests.Length, "the requests to go out");
        await stack.DisposeAsync();
        Assert.All(requests, request => Assert.Equal(1, request.Ends));
        Assert.All(requests, request => Assert.NotEqual(0, request.Ended.Result));
    }

    // Each worker of a server that has one process per client is in its group.
    private static void Freeze(RealServer server)
    {
        string pid = File.ReadAllText(server.Directory["server.pid"]).Trim();
        Tool.Run("/bin/sh", "-c", $"kill -s STOP -- -{pid} 2>/dev/null || kill -s STOP {pid}").EnsureSuccess();
    }
}
