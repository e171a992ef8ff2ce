using System.Text;
using NbdFuse.Protocol;
using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Server;

public sealed class ServerHandshakeTests
{
    private const long Size = 1 << 20;

    [Fact]
    public async Task Greeting_is_fixed_newstyle_and_offers_no_zeroes()
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        Assert.Equal(NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes, client.ServerFlags);
    }

    [Theory]
    [InlineData(ServerTransport.Unix)]
    [InlineData(ServerTransport.Tcp)]
    public async Task Go_answers_with_everything_that_was_asked_for(ServerTransport transport)
    {
        await using EmbeddedServer server = await StartAsync(transport: transport);
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendOptionAsync(
            NbdOption.Go,
            WireClient.GoData("", NbdInfoType.BlockSize, NbdInfoType.Name, NbdInfoType.Description, (NbdInfoType)999));
        List<(NbdOptionReplyHeader Header, byte[] Data)> replies = await client.ReadOptionRepliesAsync();

        Assert.All(replies, reply => Assert.Equal(NbdOption.Go, reply.Header.Option));
        Assert.True(NbdInfoReply.TryReadExport(replies[0].Data, out ulong size, out NbdTransmissionFlags flags));
        Assert.Equal((ulong)Size, size);
        Assert.True(flags.HasFlag(NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.CanMultiConn));
        Assert.False(flags.HasFlag(NbdTransmissionFlags.SendDf));
        Assert.True(NbdInfoReply.TryReadName(replies[1].Data, out string name));
        Assert.Equal("first", name);
        Assert.True(NbdInfoReply.TryReadDescription(replies[2].Data, out string description));
        Assert.Equal("the first one", description);
        Assert.True(NbdInfoReply.TryReadBlockSize(replies[3].Data, out uint minimum, out uint preferred, out uint maximum));
        Assert.Equal((1u, 4096u, 32u << 20), (minimum, preferred, maximum));
        Assert.Equal(NbdOptionReplyType.Ack, replies[4].Header.Type);
        Assert.Equal(5, replies.Count);
    }

    [Fact]
    public async Task Info_leaves_the_haggling_open()
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendOptionAsync(NbdOption.Info, WireClient.GoData("second"));
        Assert.Equal(NbdOptionReplyType.Ack, (await client.ReadOptionRepliesAsync())[^1].Header.Type);
        (_, NbdTransmissionFlags flags) = await client.GoAsync("second");
        Assert.True(flags.HasFlag(NbdTransmissionFlags.ReadOnly));
        Assert.False(flags.HasFlag(NbdTransmissionFlags.SendTrim));
        Assert.Equal(NbdError.Perm, await client.WriteAsync(0, new byte[512]));
    }

    [Theory]
    [InlineData(NbdClientFlags.FixedNewstyle, true)]
    [InlineData(NbdClientFlags.FixedNewstyle | NbdClientFlags.NoZeroes, false)]
    [InlineData(NbdClientFlags.None, true)]
    public async Task Export_name_is_padded_unless_no_zeroes_was_agreed(NbdClientFlags flags, bool padded)
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint, flags);
        await client.SendOptionAsync(NbdOption.ExportName, Encoding.UTF8.GetBytes("first"));
        byte[] reply = await client.ReceiveAsync(padded ? NbdExportNameReply.SizeWithZeroes : NbdExportNameReply.Size);
        Assert.True(NbdExportNameReply.TryRead(reply, out NbdExportNameReply export));
        Assert.Equal((ulong)Size, export.ExportSize);
        PatternData.AssertZero(reply.AsSpan(NbdExportNameReply.Size));

        // What follows is in step.
        Assert.Equal(new byte[16], await client.ReadSimpleDataAsync(0, 16));
    }

    [Fact]
    public async Task List_names_every_export()
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendOptionAsync(NbdOption.List);
        List<(NbdOptionReplyHeader Header, byte[] Data)> replies = await client.ReadOptionRepliesAsync();
        Assert.True(NbdListEntry.TryRead(replies[0].Data, out NbdListEntry first));
        Assert.True(NbdListEntry.TryRead(replies[1].Data, out NbdListEntry second));
        Assert.Equal(new NbdListEntry("first", "the first one"), first);
        Assert.Equal(new NbdListEntry("second", null), second);
        Assert.Equal(NbdOptionReplyType.Ack, replies[2].Header.Type);
    }

    [Fact]
    public async Task Abort_is_acknowledged_and_the_connection_closed()
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendOptionAsync(NbdOption.Abort);
        Assert.Equal(NbdOptionReplyType.Ack, (await client.ReadOptionReplyAsync()).Header.Type);
        Assert.True(await client.IsClosedAsync());
    }

    [Theory]
    [InlineData(NbdOption.StartTls)]
    [InlineData((NbdOption)0xdeadbeef)]
    public async Task Unknown_option_is_refused_and_the_haggling_goes_on(NbdOption option)
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendOptionAsync(option, [1, 2, 3]);
        (NbdOptionReplyHeader header, _) = await client.ReadOptionReplyAsync();
        Assert.Equal((option, NbdOptionReplyType.ErrUnsup), (header.Option, header.Type));
        await client.GoAsync("first");
    }

    [Fact]
    public async Task Unknown_export_is_an_error_with_its_name_for_go_and_a_close_for_export_name()
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendOptionAsync(NbdOption.Go, WireClient.GoData("nowhere"));
        (NbdOptionReplyHeader header, byte[] data) = await client.ReadOptionReplyAsync();
        Assert.Equal(NbdOptionReplyType.ErrUnknown, header.Type);
        Assert.Contains("nowhere", Encoding.UTF8.GetString(data));
        await client.SendOptionAsync(NbdOption.ExportName, "nowhere"u8.ToArray());
        Assert.True(await client.IsClosedAsync());
    }

    [Fact]
    public async Task Options_with_data_that_must_have_none_are_invalid()
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        foreach (NbdOption option in new[] { NbdOption.List, NbdOption.StructuredReply })
        {
            await client.SendOptionAsync(option, [0]);
            Assert.Equal(NbdOptionReplyType.ErrInvalid, (await client.ReadOptionReplyAsync()).Header.Type);
        }
    }

    [Fact]
    public async Task Go_with_a_lying_name_length_is_invalid()
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendOptionAsync(NbdOption.Go, [0xff, 0xff, 0xff, 0xff, (byte)'x', 0, 0]);
        Assert.Equal(NbdOptionReplyType.ErrInvalid, (await client.ReadOptionReplyAsync()).Header.Type);
        await client.GoAsync("first");
    }

    [Fact]
    public async Task Option_above_the_limit_is_too_big_and_the_stream_stays_in_step()
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendOptionAsync(NbdOption.Go, new byte[NbdLimits.MaxOptionRequestBytes + 1]);
        Assert.Equal(NbdOptionReplyType.ErrTooBig, (await client.ReadOptionReplyAsync()).Header.Type);
        await client.GoAsync("first");
    }

    [Fact]
    public async Task Option_of_gigabytes_ends_its_connection_only()
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient witness = await WireClient.OpenAsync(server.EndPoint);
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendOptionAsync(NbdOption.Go, null, length: 0xffffffff);
        Assert.True(await client.IsClosedAsync());
        Assert.Equal(NbdError.None, await witness.WriteAsync(0, [1]));
    }

    [Theory]
    [InlineData(4u)]
    [InlineData(0x80000003u)]
    public async Task Unknown_client_flags_end_the_connection(uint flags)
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint, (NbdClientFlags)flags);
        Assert.True(await client.IsClosedAsync());
    }

    [Fact]
    public async Task Wrong_magic_ends_the_connection()
    {
        await using EmbeddedServer server = await StartAsync();
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendAsync("GET / HTTP/1.1\r\n"u8.ToArray());
        Assert.True(await client.IsClosedAsync());
    }

    [Fact]
    public async Task Silent_client_is_closed_at_the_handshake_deadline()
    {
        await using EmbeddedServer server = await StartAsync(options => options with { HandshakeTimeout = TimeSpan.FromMilliseconds(50) });
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        Assert.True(await client.IsClosedAsync());
    }

    [Fact]
    public async Task Endless_options_end_the_connection()
    {
        await using EmbeddedServer server = await StartAsync(options => options with { MaximumOptions = 3 });
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        for (int index = 0; index < 3; index++)
        {
            await client.SendOptionAsync(NbdOption.List);
            await client.ReadOptionRepliesAsync();
        }

        Assert.True(await client.IsClosedAsync());
    }

    [Fact]
    public async Task Connection_above_the_limit_is_closed_and_room_is_made_when_one_ends()
    {
        await using EmbeddedServer server = await StartAsync(options => options with { MaximumConnections = 1 });
        using (WireClient first = await WireClient.OpenAsync(server.EndPoint))
        {
            using WireClient second = await WireClient.ConnectRawAsync(server.EndPoint);
            Assert.True(await second.IsClosedAsync());
            Assert.Equal(NbdError.None, await first.WriteAsync(0, [1]));
        }

        await Deadline.Until(() => server.Server!.OpenConnections == 0, "the first connection to end");
        using WireClient third = await WireClient.OpenAsync(server.EndPoint);
        Assert.Equal(NbdError.None, await third.WriteAsync(0, [1]));
    }

    [Fact]
    public async Task Blocks_above_a_sector_are_only_given_to_clients_that_ask_for_them()
    {
        await using EmbeddedServer server = await StartAsync(options => options with
        {
            Exports = [options.Exports[0] with { BlockSizes = new NbdBlockSizes(4096, 4096, 512 << 10) }],
        });
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendOptionAsync(NbdOption.Go, WireClient.GoData(""));
        Assert.Equal(NbdOptionReplyType.ErrBlockSizeReqd, (await client.ReadOptionReplyAsync()).Header.Type);
        await client.SendOptionAsync(NbdOption.Go, WireClient.GoData("", NbdInfoType.BlockSize));
        Assert.Equal(NbdOptionReplyType.Ack, (await client.ReadOptionRepliesAsync())[^1].Header.Type);
        Assert.Equal(NbdError.Inval, await client.WriteAsync(512, new byte[4096]));
        Assert.Equal(NbdError.Inval, await client.WriteAsync(0, new byte[512]));
        Assert.Equal(NbdError.None, await client.WriteAsync(4096, new byte[4096]));
        Assert.Equal(NbdError.Inval, await client.WriteAsync(0, new byte[1 << 20]));
        Assert.Equal(NbdError.Overflow, await client.SimpleAsync(NbdCommand.Read, 0, 1 << 20));
    }

    [Fact]
    public async Task Handshake_works_in_every_fragmentation()
    {
        await using EmbeddedServer server = await StartAsync();
        byte[] flags = new byte[NbdClientGreeting.Size];
        NbdClientGreeting.Write(flags, NbdClientFlags.FixedNewstyle | NbdClientFlags.NoZeroes);
        byte[] data = WireClient.GoData("first");
        byte[] go = new byte[NbdOptionHeader.Size];
        NbdOptionHeader.Write(go, NbdOption.Go, (uint)data.Length);
        byte[] read = new byte[NbdRequestHeader.Size];
        NbdRequestHeader.Write(read, NbdCommandFlags.None, NbdCommand.Read, 77, 0, 8);
        byte[] frame = WireData.Concat(flags, go, data, read);
        foreach (IReadOnlyList<byte[]> pieces in WireData.Fragmentations(frame))
        {
            using WireClient client = await WireClient.ConnectRawAsync(server.EndPoint);
            await client.ReceiveAsync(NbdNewstyleGreeting.Size);
            foreach (byte[] piece in pieces)
            {
                await client.SendAsync(piece);
            }

            Assert.Equal(NbdOptionReplyType.Ack, (await client.ReadOptionRepliesAsync())[^1].Header.Type);
            Assert.Equal(NbdError.None, await client.ReadSimpleAsync(77));
            await client.ReceiveAsync(8);
        }
    }

    private static Task<EmbeddedServer> StartAsync(
        Func<NbdServerOptions, NbdServerOptions>? change = null, ServerTransport transport = ServerTransport.Unix) =>
        RealServers.Embedded(
            () => new MemoryExport(Size),
            backend =>
            {
                var options = new NbdServerOptions
                {
                    Exports =
                    [
                        new NbdServerExport { Name = "first", Description = "the first one", Backend = backend },
                        new NbdServerExport { Name = "second", Backend = backend, ReadOnly = true },
                    ],
                };
                return change is null ? options : change(options);
            },
            transport);
}
