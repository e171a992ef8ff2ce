using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>Servers that are killed and come back, under a load that checks every byte.</summary>
public sealed class RecoveryTests
{
    private const int Region = 256 * 1024;
    private const int Writers = 12;

    private static bool IsSoak => Environment.GetEnvironmentVariable("NBDFUSE_SOAK") == "1";

    [Theory]
    [InlineData(RealServerKind.Nbdkit, ServerTransport.Unix, 1)]
    [InlineData(RealServerKind.Nbdkit, ServerTransport.Tcp, 4)]
    [InlineData(RealServerKind.NbdServer, ServerTransport.Tcp, 4)]
    [InlineData(RealServerKind.QemuNbd, ServerTransport.Unix, 4)]
    [InlineData(RealServerKind.Embedded, ServerTransport.Unix, 4)]
    public async Task Servers_that_are_killed_under_load_cost_no_error_and_no_byte(RealServerKind kind, ServerTransport transport, int connections)
    {
        await using RealServer server = await RealServers.StartAsync(kind, new() { Transport = transport });
        await using ClientStack stack = await ClientStack.OpenAsync(server, connections);
        await RunAsync(stack, server, kills: IsSoak ? 100 : 5);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public async Task Writes_that_a_killed_server_had_in_its_memory_are_written_again(int connections)
    {
        using var directory = new TempDirectory();
        string file = directory.CreateFile("disk.img", 16 << 20);
        await using RealServer server = await RealServers.Nbdkit("--filter=cache", "file", file, "cache=writeback");
        await using ClientStack stack = await ClientStack.OpenAsync(server, connections);
        byte[] data = PatternData.Create(1, 0, 1 << 20);
        await stack.WriteAsync(0, data);
        server.Kill();
        PatternData.AssertZero(await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken));
        await server.RestartAsync();
        await stack.VerifyAsync(0, data);
        await RunAsync(stack, server, kills: IsSoak ? 100 : 5);
        Assert.True(stack.Export.ReplayedWrites > 0);
    }

    [Fact]
    public async Task A_disk_that_is_gone_with_its_server_is_missed()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "16M");
        await using ClientStack stack = await ClientStack.OpenAsync(server, 4);
        await stack.WriteAsync(0, PatternData.Create(1, 0, 65536));
        await stack.FlushAsync();
        await stack.WriteAsync(1 << 20, PatternData.Create(1, 0, 65536));
        server.Kill();
        await server.RestartAsync();
        Assert.Contains("another disk", (await stack.FailureAsync()).Message);
        Assert.Equal(BlockErrno.EIO, await stack.ReadErrorAsync(0, 4096));
        await using ClientStack look = await ClientStack.OpenAsync(server);
        await look.VerifyAsync(0, new byte[2 << 20]);
    }

    [Fact]
    public async Task A_polite_shutdown_is_a_loss_like_any_other()
    {
        using var directory = new TempDirectory();
        string file = directory.CreateFile("disk.img", 16 << 20);
        await using RealServer server = await RealServers.Nbdkit("--filter=delay", "file", file, "rdelay=100ms");
        await using ClientStack stack = await ClientStack.OpenAsync(server, 4);
        await stack.WriteAsync(0, PatternData.Create(1, 0, 65536));
        Task[] reads = [.. Enumerable.Range(0, 16).Select(i => stack.VerifyAsync(i * 4096, PatternData.Create(1, i * 4096, 4096)))];
        await server.StopAsync();
        await server.RestartAsync();
        await Task.WhenAll(reads);
        await stack.VerifyAsync(0, PatternData.Create(1, 0, 65536));
        Assert.Equal(NbdExportState.Ready, stack.Export.State);
    }

    [Theory]
    [InlineData(true, 1)]
    [InlineData(true, 4)]
    [InlineData(false, 1)]
    [InlineData(false, 4)]
    public async Task A_line_that_breaks_again_and_again_is_mended(bool toClient, int connections)
    {
        // Not nbdkit, whose version 1.32 aborts now and then when its clients break off (raw_send_socket: sock >= 0).
        await using RealServer server = await RealServers.StartAsync(RealServerKind.QemuNbd);
        await using var proxy = new FaultProxy(server, ServerTransport.Tcp);
        var random = new Random(connections);
        FaultPlan Plan(int number) => number < 24
            ? new() { DropAfter = 300 + random.Next(800_000), Reset = number % 2 == 0 }
            : FaultPlan.None;
        FaultPlan Locked(int number)
        {
            lock (random)
            {
                return Plan(number);
            }
        }

        proxy.ToClient = number => toClient ? Locked(number) : FaultPlan.None;
        proxy.ToServer = number => toClient ? FaultPlan.None : Locked(number);
        ClientStack? opened = null;
        while (opened is null)
        {
            try
            {
                opened = await ClientStack.OpenAsync(proxy.Uri, new() { Connections = connections });
            }
            catch (Protocol.NbdException)
            {
                // The first connection, which nothing mends.
            }
        }

        await using ClientStack stack = opened;
        await Task.WhenAll(Enumerable.Range(0, Writers).Select(i => WriteAsync(stack, i, 60, () => false)));
        Assert.False(stack.Export.Failure.IsCompleted);
        Assert.True(proxy.Connections > 5);
    }

    private static async Task RunAsync(ClientStack stack, RealServer server, int kills)
    {
        bool stop = false;
        Task[] writers = [.. Enumerable.Range(0, Writers).Select(i => Task.Run(() => WriteAsync(stack, i, int.MaxValue, () => Volatile.Read(ref stop))))];
        for (int i = 1; i <= kills; i++)
        {
            // Some work in between: each loss comes in the middle of it.
            long before = stack.Queue.Statistics.Requests(BlockOperation.Write);
            await stack.WithinAsync(
                Deadline.Until(() => stack.Queue.Statistics.Requests(BlockOperation.Write) > before + 100, "writes to end"), "the load");
            int reconnects = stack.Export.Reconnects;
            server.Kill();
            await server.RestartAsync();
            await stack.WithinAsync(Deadline.Until(() => stack.Export.Reconnects > reconnects, "the export to reconnect"), "the export");
        }

        Volatile.Write(ref stop, true);
        await stack.WithinAsync(Task.WhenAll(writers), "the writers to end");
        await stack.FlushAsync();
        Assert.Equal(NbdExportState.Ready, stack.Export.State);
        Assert.Equal(0, stack.Export.WriteLogBytes);
    }

    // Each has a part of the disk of its own, and knows what is there.
    private static async Task WriteAsync(ClientStack stack, int number, int rounds, Func<bool> stop)
    {
        var random = new Random(number);
        byte[] expected = await stack.ReadAsync(number * Region, Region);
        for (int round = 0; round < rounds && !stop(); round++)
        {
            int length = 512 * random.Next(1, random.Next(8) == 0 ? 256 : 17);
            int offset = random.Next((Region - length) / 512) * 512;
            byte[] data = new byte[length];
            random.NextBytes(data);
            await stack.WriteAsync((number * Region) + offset, data, fua: random.Next(8) == 0);
            data.CopyTo(expected, offset);
            if (random.Next(10) == 0)
            {
                await stack.FlushAsync();
            }

            int look = random.Next((Region - 8192) / 512) * 512;
            await stack.VerifyAsync((number * Region) + look, expected[look..(look + 8192)]);
        }

        await stack.VerifyAsync(number * Region, expected);
    }
}
