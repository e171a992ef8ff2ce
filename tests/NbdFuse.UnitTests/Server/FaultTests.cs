using NbdFuse.Protocol;
using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Server;

/// <summary>The test kit's fault builders do what they say.</summary>
public sealed class FaultTests
{
    // What the server sends before the answers to requests: greeting, INFO_EXPORT, ACK.
    private const int HandshakeBytes = NbdNewstyleGreeting.Size + (2 * NbdOptionReplyHeader.Size) + NbdInfoReply.ExportBytes;

    [Theory]
    [InlineData(ServerTransport.Unix)]
    [InlineData(ServerTransport.Tcp)]
    public async Task Proxy_splits_into_single_bytes_and_records_both_directions(ServerTransport transport)
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(1 << 20));
        await using var proxy = new FaultProxy(server, transport)
        {
            ToServer = _ => new FaultPlan { PieceSize = 1 },
            ToClient = _ => new FaultPlan { PieceSize = 1 },
        };
        using WireClient client = await WireClient.OpenAsync(proxy.EndPoint, structured: false);
        Assert.Equal(NbdError.None, await client.WriteAsync(0, PatternData.Create(1, 0, 4096)));
        PatternData.AssertEqual(PatternData.Create(1, 0, 4096), await client.ReadSimpleDataAsync(0, 4096));
        PatternData.AssertEqual(PatternData.Create(1, 0, 4096), proxy.RecordedToClient(0)[^4096..]);
        Assert.Equal(NbdRequestHeader.Size + 4096 + NbdRequestHeader.Size, proxy.RecordedToServer(0).Length - 4 - 16 - 6);
    }

    [Fact]
    public async Task Proxy_drops_after_a_number_of_bytes_and_lets_the_next_connection_pass()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(1 << 20));
        await using var proxy = new FaultProxy(server)
        {
            ToClient = connection => connection == 0 ? new FaultPlan { DropAfter = HandshakeBytes + 100 } : FaultPlan.None,
        };
        using WireClient client = await WireClient.OpenAsync(proxy.EndPoint, structured: false);
        await client.SendRequestAsync(NbdCommand.Read, 0, 4096);
        await client.ReceiveAsync(100);
        Assert.True(await client.IsClosedAsync());
        using WireClient next = await WireClient.OpenAsync(proxy.EndPoint, structured: false);
        Assert.Equal(4096, (await next.ReadSimpleDataAsync(0, 4096)).Length);
    }

    [Fact]
    public async Task Proxy_stalls_until_it_is_released()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(1 << 20));
        await using var proxy = new FaultProxy(server)
        {
            ToClient = _ => new FaultPlan { StallAfter = HandshakeBytes + 8 },
        };
        using WireClient client = await WireClient.OpenAsync(proxy.EndPoint, structured: false);
        await client.SendRequestAsync(NbdCommand.Read, 0, 512);
        await client.ReceiveAsync(8);
        Task<byte[]> rest = client.ReceiveAsync(8 + 512);

        // The server has sent everything, yet the client waits.
        await Deadline.Until(() => proxy.RecordedToClient(0).Length == HandshakeBytes + 16 + 512, "the server's reply");
        Assert.False(rest.IsCompleted);
        proxy.Release();
        Assert.Equal(520, (await rest).Length);
    }

    [Fact]
    public async Task Proxy_corrupts_one_byte()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(1 << 20));
        await using var proxy = new FaultProxy(server)
        {
            ToClient = _ => new FaultPlan { CorruptAt = HandshakeBytes + 16 + 5, CorruptMask = 0x81 },
        };
        using WireClient client = await WireClient.OpenAsync(proxy.EndPoint, structured: false);
        byte[] data = await client.ReadSimpleDataAsync(0, 16);
        Assert.Equal(0x81, data[5]);
        Assert.Equal(1, data.Count(value => value != 0));
    }

    [Fact]
    public async Task Script_serves_a_client_and_sees_it_leave()
    {
        byte[] disk = PatternData.Create(3, 0, 1 << 20);
        await using var server = new ScriptedNbdServer(async script =>
        {
            Assert.Equal("name", await script.Handshake());
            await script.ServeAsync(disk);
        });
        using (WireClient client = await WireClient.OpenAsync(server.EndPoint, structured: false, "name"))
        {
            PatternData.AssertEqual(disk[..4096], await client.ReadSimpleDataAsync(0, 4096));
            await client.SendRequestAsync(NbdCommand.Disc);
        }

        await server.Finished();
    }

    [Fact]
    public async Task Script_that_is_disappointed_fails_the_test()
    {
        var server = new ScriptedNbdServer(async script =>
        {
            await script.Handshake();
            await script.ExpectRequest(NbdCommand.Flush);
        });
        using (WireClient client = await WireClient.OpenAsync(server.EndPoint, structured: false))
        {
            await client.SendRequestAsync(NbdCommand.Read, 0, 512);
            Assert.True(await client.IsClosedAsync());
        }

        ScriptException error = await Assert.ThrowsAsync<ScriptException>(async () => await server.DisposeAsync());
        Assert.Contains("Flush", error.Message);
    }

    [Fact]
    public async Task Raw_peer_trickles_its_bytes_and_records_the_client()
    {
        await using var peer = new RawPeer("SSH-2.0-nothing\r\n"u8.ToArray(), pieceSize: 1, close: true);
        using WireClient client = await WireClient.ConnectRawAsync(peer.EndPoint);
        await client.SendAsync(new byte[] { 1, 2, 3 });
        Assert.Equal("SSH-2.0-nothing\r\n"u8.ToArray(), await client.ReceiveAsync(17));
        Assert.True(await client.IsClosedAsync());
        await Deadline.Until(() => peer.Received.Length == 3, "the client's bytes");
    }
}
