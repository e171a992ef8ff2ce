using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>
/// Real servers behind a line that splits, breaks, stalls and corrupts. Whatever happens: an error that says what, never wrong
/// data, never a hang.
/// </summary>
public sealed class FaultTests
{
    private const int Size = 4 << 20;

    [Theory]
    [InlineData(ServerTransport.Unix, true, 1)]
    [InlineData(ServerTransport.Tcp, false, 1)]
    [InlineData(ServerTransport.Unix, true, 3)]
    [InlineData(ServerTransport.Unix, false, 1000)]
    [InlineData(ServerTransport.Tcp, true, 4099)]
    public async Task Bytes_that_come_in_small_pieces_mean_the_same(ServerTransport transport, bool structured, int piece)
    {
        await using RealServer server = await StartAsync(structured);
        await using var proxy = new FaultProxy(server, transport)
        {
            ToClient = _ => new() { PieceSize = piece },
            ToServer = _ => new() { PieceSize = piece },
        };
        await using ClientStack stack = await ClientStack.OpenAsync(proxy.Uri);
        int large = piece < 100 ? 3000 : 1 << 20;
        byte[] data = PatternData.Create(1, 5000, large);
        await Task.WhenAll(
            stack.WriteAsync(5000, data), stack.VerifyAsync(2 << 20, new byte[large / 4]), stack.VerifyAsync(3 << 20, new byte[1]));
        await stack.FlushAsync();
        await Task.WhenAll(
            stack.VerifyAsync(5000, data), stack.VerifyAsync(5001, data[1..700]), stack.VerifyAsync(2 << 20, new byte[large / 3]));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_large_read_in_single_bytes_is_received_directly_and_right(bool structured)
    {
        await using RealServer server = await StartAsync(structured);
        await using var proxy = new FaultProxy(server) { ToClient = _ => new() { PieceSize = 1 } };
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        byte[] data = PatternData.Create(2, 0, 40_000);
        await stack.WriteAsync(0, data);
        await using ClientStack slow = await ClientStack.OpenAsync(proxy.Uri);
        await slow.VerifyAsync(0, data);
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(true, true)]
    [InlineData(false, false)]
    [InlineData(false, true)]
    public async Task A_line_that_breaks_anywhere_gives_an_error_and_no_wrong_data(bool toClient, bool structured)
    {
        await using RealServer server = await StartAsync(structured);
        await using var proxy = new FaultProxy(server, ServerTransport.Tcp);
        Assert.True(await RunOutcomeAsync(proxy) is null, "the clean run failed");
        byte[] clean = toClient ? proxy.RecordedToClient(0) : proxy.RecordedToServer(0);

        // Every border of the conversation, and some places within; the last place is that of the goodbye.
        int end = clean.Length - (toClient ? 1 : 29);
        int[] places = [0, 1, 17, 18, 19, 40, 60, .. Enumerable.Range(1, 12).Select(i => (int)((long)end * i / 12))];
        foreach (int place in places.Distinct())
        {
            int number = proxy.Connections;
            bool reset = number % 2 == 1;
            FaultPlan plan = new() { DropAfter = place, Reset = reset };
            proxy.ToClient = _ => toClient ? plan : FaultPlan.None;
            proxy.ToServer = _ => toClient ? FaultPlan.None : plan;
            string? outcome = await RunOutcomeAsync(proxy);
            Assert.True(outcome is not null, $"nobody noticed a break after {place} of {clean.Length} bytes");
            Assert.False(string.IsNullOrWhiteSpace(outcome));
        }
    }

    [Theory]
    [InlineData(false, 0, "magic")]
    [InlineData(false, 3, "magic")]
    [InlineData(false, 8, "cookie")]
    [InlineData(false, 15, "cookie")]
    [InlineData(true, 0, "magic")]
    [InlineData(true, 3, "magic")]
    [InlineData(true, 6, "error")]
    [InlineData(true, 7, "type")]
    [InlineData(true, 8, "cookie")]
    [InlineData(true, 15, "cookie")]
    [InlineData(true, 16, "")]
    [InlineData(true, 18, "")]
    [InlineData(true, 20, "READ")]
    [InlineData(true, 27, "READ")]
    public async Task A_corrupt_reply_header_is_named_and_ends_the_export(bool structured, int index, string named)
    {
        await using RealServer server = await StartAsync(structured);
        await using var proxy = new FaultProxy(server);
        int handshake = await HandshakeBytesAsync(proxy, toClient: true);
        proxy.ToClient = _ => new() { CorruptAt = handshake + index };
        await using ClientStack stack = await ClientStack.OpenAsync(proxy.Uri, ClientStack.NoReconnect);

        // The second read makes a reply follow whose place a wrong length has moved.
        Task<byte[]> second = stack.ReadAsync(1 << 20, 8192);
        Assert.Equal(BlockErrno.EIO, await stack.ReadErrorAsync(0, 8192));
        NbdException reason = await stack.FailureAsync();
        Assert.IsType<NbdProtocolException>(reason);
        Assert.Contains(named, reason.Message);
        await Assert.ThrowsAsync<ConformanceErrorException>(() => second);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(8)]
    [InlineData(15)]
    public async Task A_corrupt_request_header_is_noticed_by_one_of_the_two(int index)
    {
        await using RealServer server = await StartAsync(structured: true);
        await using var proxy = new FaultProxy(server);
        int handshake = await HandshakeBytesAsync(proxy, toClient: false);
        proxy.ToServer = _ => new() { CorruptAt = handshake + index };
        await using ClientStack stack = await ClientStack.OpenAsync(proxy.Uri, ClientStack.NoReconnect);
        Assert.Equal(BlockErrno.EIO, await stack.ReadErrorAsync(0, 4096));
        NbdException reason = await stack.FailureAsync();
        Assert.True(index < 4 ? reason is NbdDisconnectedException : reason is NbdProtocolException, reason.Message);
    }

    [Fact]
    public async Task A_corrupt_byte_anywhere_in_the_handshake_is_an_error_or_harmless()
    {
        await using RealServer server = await StartAsync(structured: true);
        await using var proxy = new FaultProxy(server);
        int handshake = await HandshakeBytesAsync(proxy, toClient: true);
        List<int> unnoticed = [];
        for (int index = 0; index < handshake; index += index < 40 ? 1 : 4)
        {
            int place = index;
            proxy.ToClient = _ => new() { CorruptAt = place, CorruptMask = 0x81 };
            try
            {
                await using NbdExport export = await ClientStack.ConnectAsync(
                    proxy.Uri, new() { Connections = 1, ExtendedHeaders = false, HandshakeTimeout = TimeSpan.FromMilliseconds(400) });
                unnoticed.Add(index);
            }
            catch (NbdException error)
            {
                Assert.False(string.IsNullOrWhiteSpace(error.Message));
            }
        }

        // Magic of the greeting, and the header of the first option reply: magic, option, type, length. Only the first byte
        // of the type can't be known to be wrong: it makes a refusal of what was only a wish.
        Assert.DoesNotContain(unnoticed, index => index < 16);
        Assert.DoesNotContain(unnoticed, index => index is >= 18 and < 34 and not 30);
    }

    [Fact]
    public async Task A_server_that_falls_silent_in_the_handshake_is_given_up_by_the_deadline()
    {
        await using RealServer server = await StartAsync(structured: true);
        await using var proxy = new FaultProxy(server);
        int handshake = await HandshakeBytesAsync(proxy, toClient: true);
        foreach (int place in new[] { 0, 10, 18, 30, handshake - 1 })
        {
            proxy.ToClient = _ => new() { StallAfter = place };
            NbdException error = await Assert.ThrowsAnyAsync<NbdException>(() => ClientStack.ConnectAsync(
                proxy.Uri, new() { Connections = 1, HandshakeTimeout = TimeSpan.FromMilliseconds(200) }));
            Assert.Contains("0.2", error.Message);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public async Task A_stalled_line_loses_nothing_when_it_goes_on(int connections)
    {
        await using RealServer server = await RealServers.StartAsync(RealServerKind.QemuNbd, new() { Size = Size });
        await using var proxy = new FaultProxy(server);
        await using ClientStack stack = await ClientStack.OpenAsync(proxy.Uri, new() { Connections = connections });
        await stack.WriteAsync(0, PatternData.Create(3, 0, 2 << 20));
        proxy.StallAll();
        long before = stack.Sent;
        Task[] pending =
        [
            stack.VerifyAsync(0, PatternData.Create(3, 0, 1 << 20)),
            stack.VerifyAsync(1 << 20, PatternData.Create(3, 1 << 20, 4096)),
            stack.VerifyAsync(1_100_000, PatternData.Create(3, 1_100_000, 10)),

            // Last: it fills the socket, behind which nothing goes out.
            stack.WriteAsync(3 << 20, PatternData.Create(4, 3 << 20, 300_000)),
        ];
        await Deadline.Until(() => stack.Sent - before >= pending.Length, "the requests to go out");
        Assert.All(pending, task => Assert.False(task.IsCompleted));
        proxy.Release();
        await Task.WhenAll(pending);
        await stack.VerifyAsync(3 << 20, PatternData.Create(4, 3 << 20, 300_000));
    }

    [Fact]
    public async Task Closing_over_a_stalled_line_does_not_wait_for_it()
    {
        await using RealServer server = await StartAsync(structured: true);
        await using var proxy = new FaultProxy(server);
        ClientStack stack = await ClientStack.OpenAsync(proxy.Uri, new() { Connections = 4 });
        await stack.ReadAsync(0, 4096);
        proxy.StallAll();
        CountedRequest[] requests =
            [.. Enumerable.Range(0, 20).Select(i => stack.SubmitAsync(BlockOperation.Write, 0, i * 131072, i % 2 == 0 ? 131072 : 512))];
        await stack.DisposeAsync();
        Assert.All(requests, request => Assert.Equal(1, request.Ends));
        Assert.All(requests, request => Assert.NotEqual(0, request.Ended.Result));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task One_broken_connection_of_four_ends_all_requests_once(bool reset)
    {
        await using RealServer server = await RealServers.Nbdkit("--filter=delay", "memory", "16M", "rdelay=600");
        await using var proxy = new FaultProxy(server, ServerTransport.Tcp);
        int handshake = await HandshakeBytesAsync(proxy, toClient: false);
        int first = proxy.Connections;
        proxy.ToServer = number => number == first + 1 ? new() { DropAfter = handshake + 28, Reset = reset } : FaultPlan.None;
        await using ClientStack stack = await ClientStack.OpenAsync(proxy.Uri, ClientStack.NoReconnect with { Connections = 4 });
        CountedRequest[] requests =
            [.. Enumerable.Range(0, 64).Select(i => stack.SubmitAsync(BlockOperation.Read, 0, i * 131072, i % 2 == 0 ? 4096 : 131072))];
        int[] errors = await stack.WithinAsync(Task.WhenAll(requests.Select(r => r.Ended)), "the requests to end");
        Assert.All(errors, error => Assert.Equal(BlockErrno.EIO, error));
        Assert.IsType<NbdDisconnectedException>(await stack.FailureAsync());
        Assert.All(requests, request => Assert.Equal(1, request.Ends));
    }

    private static Task<RealServer> StartAsync(bool structured) =>
        RealServers.Nbdkit([.. structured ? Array.Empty<string>() : ["--no-sr"], "memory", $"{Size}"]);

    /// <summary>Length of the handshake, in one direction: of all that comes before the first request.</summary>
    private static async Task<int> HandshakeBytesAsync(FaultProxy proxy, bool toClient)
    {
        int number = proxy.Connections;
        await using NbdExport export = await ClientStack.ConnectAsync(proxy.Uri);
        return (toClient ? proxy.RecordedToClient(number) : proxy.RecordedToServer(number)).Length;
    }

    /// <summary>Writes, flushes and reads; what is read must be right.</summary>
    /// <returns>What the client said of the fault, or null when all went well.</returns>
    private static async Task<string?> RunOutcomeAsync(FaultProxy proxy)
    {
        ClientStack stack;
        try
        {
            stack = await ClientStack.OpenAsync(proxy.Uri, ClientStack.NoReconnect);
        }
        catch (NbdException error)
        {
            return error.Message;
        }

        await using (stack)
        {
            byte[] data = PatternData.Create(5, 0, 100_000);
            int error = await stack.WithinAsync(stack.Target.WriteAsync(0, data), "the write");
            error = error != 0 ? error : await stack.WithinAsync(stack.Target.FlushAsync(), "the flush");
            for (int i = 0; i < 3 && error == 0; i++)
            {
                try
                {
                    byte[] read = await stack.ReadAsync(i * 1000, 50_000);
                    PatternData.AssertEqual(data.AsSpan(i * 1000, 50_000), read, i * 1000);
                }
                catch (ConformanceErrorException e)
                {
                    error = e.Errno;
                }
            }

            if (error == 0)
            {
                return null;
            }

            Assert.Equal(BlockErrno.EIO, error);
            return (await stack.FailureAsync()).Message;
        }
    }
}
