using System.Buffers.Binary;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Server;

/// <summary>Extended headers and base:allocation of our server, on the wire and by our client.</summary>
public sealed class ServerExtendedTests
{
    private const int Chunk = MemoryExport.ChunkSize;
    private const long Size = 64 << 20;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Map_of_memory_shows_what_was_written(bool extended)
    {
        var memory = new MemoryExport(Size);
        memory.Write(3 * Chunk, new byte[Chunk], fua: false);
        await using EmbeddedServer server = await StartAsync(memory, extended);
        List<NbdMapExtent> map = [];
        Assert.Equal(Size, await NbdQuery.MapAsync(Target(server), string.Empty, NbdMetaContextNames.BaseAllocation, map.Add));
        Assert.Equal([new(0, 3 * Chunk, 3), new(3 * Chunk, Chunk, 0), new(4 * Chunk, Size - (4 * Chunk), 3)], map);
        NbdServerInfo info = await NbdProbe.InfoAsync(
            Target(server), string.Empty, new() { Handshake = new() { WantExtendedHeaders = true, ListMetaContexts = true } });
        Assert.Equal(extended, info.ExtendedHeaders);
        Assert.Equal([NbdMetaContextNames.BaseAllocation], info.Exports[0].Contexts);
        Assert.Equal(extended, (info.Exports[0].Info!.Flags & NbdTransmissionFlags.BlockStatusPayload) != 0);
    }

    [Fact]
    public async Task Map_of_a_file_shows_its_holes_and_a_huge_one_is_one_request()
    {
        using var directory = new TempDirectory();
        string path = directory.CreateFile("sparse", 1L << 40);
        using (FileStream file = File.OpenWrite(path))
        {
            file.Position = 6L << 30;
            file.Write(new byte[4096]);
        }

        using var export = new FileExport(path);
        await using EmbeddedServer server = await StartAsync(export);
        List<NbdMapExtent> map = [];
        await NbdQuery.MapAsync(Target(server), string.Empty, NbdMetaContextNames.BaseAllocation, map.Add);
        NbdMapExtent data = Assert.Single(map, extent => extent.Status == 0);
        Assert.True(data.Offset <= 6L << 30 && data.Offset + data.Length >= (6L << 30) + 4096, $"{data}");
        Assert.InRange(data.Length, 4096, 1 << 20);
        Assert.Equal(1L << 40, map.Sum(extent => extent.Length));
    }

    [Fact]
    public async Task Extents_are_whole_blocks_and_partial_holes_are_data()
    {
        await using EmbeddedServer server = await RealServers.Embedded(
            () => new OddHoles(), backend => new() { Exports = [new() { Backend = backend, BlockSizes = new(4096, 4096, 65536) }] });
        List<NbdMapExtent> map = [];
        await NbdQuery.MapAsync(Target(server), string.Empty, NbdMetaContextNames.BaseAllocation, map.Add);
        Assert.Equal([new(0, 4096, 3), new(4096, 8192, 0), new(12288, 4096, 3)], map);
    }

    [Fact]
    public async Task More_extents_than_one_reply_holds_come_in_several()
    {
        var memory = new MemoryExport(20_000L * Chunk);
        for (long i = 0; i < 20_000; i += 2)
        {
            memory.Write(i * Chunk, [1], fua: false);
        }

        await using EmbeddedServer server = await StartAsync(memory);
        List<NbdMapExtent> map = [];
        await NbdQuery.MapAsync(Target(server), string.Empty, NbdMetaContextNames.BaseAllocation, map.Add);
        Assert.Equal(20_000, map.Count);
        Assert.All(map, extent => Assert.Equal(Chunk, extent.Length));
    }

    [Fact]
    public async Task Rule90_Extended_write_has_a_payload_with_its_flag_and_without_as_qemu_sends_it()
    {
        var memory = new MemoryExport(Size);
        await using EmbeddedServer server = await StartAsync(memory);
        using WireClient client = await OpenAsync(server);
        Assert.Equal(NbdReplyType.None, (await SendAsync(client, NbdCommand.Write, 4096, 3, NbdCommandFlags.PayloadLen, [1, 2, 3])).Type);
        byte[] written = new byte[3];
        memory.Read(4096, written);
        Assert.Equal([1, 2, 3], written);
        Assert.Equal(NbdReplyType.None, (await SendAsync(client, NbdCommand.Write, 4097, 2, NbdCommandFlags.None, [8, 9])).Type);
        memory.Read(4096, written);
        Assert.Equal([1, 8, 9], written);

        // A payload where there is none is taken out of the stream.
        Assert.Equal(NbdReplyType.Error, (await SendAsync(client, NbdCommand.Read, 0, 3, NbdCommandFlags.PayloadLen, [9, 9, 9])).Type);
        Assert.Equal(NbdReplyType.None, (await SendAsync(client, NbdCommand.Flush, 0, 0)).Type);
    }

    [Fact]
    public async Task Rule53_Zeroes_and_trims_may_be_longer_than_4_GiB()
    {
        var memory = new MemoryExport(6L << 30);
        memory.Write(5L << 30, [1], fua: false);
        await using EmbeddedServer server = await StartAsync(memory);
        using WireClient client = await OpenAsync(server);
        Assert.Equal(NbdReplyType.None, (await SendAsync(client, NbdCommand.WriteZeroes, 0, 6UL << 30)).Type);
        Assert.Equal(0, memory.AllocatedBytes);
        Assert.Equal(NbdReplyType.None, (await SendAsync(client, NbdCommand.Trim, 0, 6UL << 30)).Type);
        Assert.Equal(NbdReplyType.Error, (await SendAsync(client, NbdCommand.Trim, 4096, 6UL << 30)).Type);
        Assert.Equal(NbdReplyType.Error, (await SendAsync(client, NbdCommand.Trim, 0, ulong.MaxValue)).Type);
    }

    [Fact]
    public async Task Rule93_Status_can_be_asked_for_chosen_contexts()
    {
        await using EmbeddedServer server = await StartAsync(new MemoryExport(Size));
        using WireClient client = await OpenAsync(server);
        byte[] filter = new byte[12];
        BinaryPrimitives.WriteUInt64BigEndian(filter, 1 << 20);
        BinaryPrimitives.WriteUInt32BigEndian(filter.AsSpan(8), 1);
        (NbdReplyType type, byte[] payload) = await SendAsync(client, NbdCommand.BlockStatus, 0, 12, NbdCommandFlags.PayloadLen, filter);
        Assert.Equal(NbdReplyType.BlockStatusExt, type);
        Assert.True(NbdBlockStatusChunk.TryRead(payload, extended: true, out NbdBlockStatusChunk chunk));
        Assert.Equal(new NbdBlockExtent(1 << 20, 3), chunk[0]);
        filter[^1] = 9;
        Assert.Equal(NbdReplyType.Error, (await SendAsync(client, NbdCommand.BlockStatus, 0, 12, NbdCommandFlags.PayloadLen, filter)).Type);
        Assert.Equal(NbdReplyType.Error, (await SendAsync(client, NbdCommand.BlockStatus, 0, 7, NbdCommandFlags.PayloadLen, filter[..7])).Type);
        Assert.Equal(
            NbdReplyType.Error,
            (await SendAsync(client, NbdCommand.BlockStatus, 0, 16, NbdCommandFlags.PayloadLen, [.. filter[..8], 0, 0, 0, 1, 0, 0, 0, 1])).Type);
    }

    [Fact]
    public async Task Req_one_is_one_extent_and_status_needs_a_context()
    {
        var memory = new MemoryExport(Size);
        memory.Write(0, [1], fua: false);
        await using EmbeddedServer server = await StartAsync(memory);
        using (WireClient client = await OpenAsync(server))
        {
            (_, byte[] payload) = await SendAsync(client, NbdCommand.BlockStatus, 0, (ulong)Size, NbdCommandFlags.ReqOne);
            Assert.True(NbdBlockStatusChunk.TryRead(payload, extended: true, out NbdBlockStatusChunk chunk));
            Assert.Equal(1, chunk.Count);
            Assert.Equal(new NbdBlockExtent(Chunk, 0), chunk[0]);
            Assert.Equal(NbdReplyType.Error, (await SendAsync(client, NbdCommand.BlockStatus, 0, 0)).Type);
            Assert.Equal(NbdReplyType.Error, (await SendAsync(client, NbdCommand.BlockStatus, 1, (ulong)Size)).Type);
        }

        using WireClient without = await OpenAsync(server, context: false);
        Assert.Equal(NbdReplyType.Error, (await SendAsync(without, NbdCommand.BlockStatus, 0, 4096)).Type);
    }

    [Fact]
    public async Task Rule91_Order_of_the_options_is_enforced()
    {
        await using EmbeddedServer server = await StartAsync(new MemoryExport(Size));
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        byte[] query = Query(string.Empty, NbdMetaContextNames.BaseAllocation);
        await client.SendOptionAsync(NbdOption.SetMetaContext, query);
        Assert.Equal(NbdOptionReplyType.ErrInvalid, (await client.ReadOptionReplyAsync()).Header.Type);
        await client.SendOptionAsync(NbdOption.ExtendedHeaders, [1]);
        Assert.Equal(NbdOptionReplyType.ErrInvalid, (await client.ReadOptionReplyAsync()).Header.Type);
        await client.SendOptionAsync(NbdOption.ExtendedHeaders);
        Assert.Equal(NbdOptionReplyType.Ack, (await client.ReadOptionReplyAsync()).Header.Type);
        await client.SendOptionAsync(NbdOption.StructuredReply);
        Assert.Equal(NbdOptionReplyType.ErrExtHeaderReqd, (await client.ReadOptionReplyAsync()).Header.Type);
        await client.SendOptionAsync(NbdOption.SetMetaContext, Query("none", NbdMetaContextNames.BaseAllocation));
        Assert.Equal(NbdOptionReplyType.ErrUnknown, (await client.ReadOptionReplyAsync()).Header.Type);
        await client.SendOptionAsync(NbdOption.SetMetaContext, Query(string.Empty, "nocolon"));
        Assert.Equal(NbdOptionReplyType.ErrInvalid, (await client.ReadOptionReplyAsync()).Header.Type);
        await client.SendOptionAsync(NbdOption.SetMetaContext, Query(string.Empty, "base:", "x:y"));
        Assert.Equal(NbdOptionReplyType.Ack, (await client.ReadOptionReplyAsync()).Header.Type);
        await client.SendOptionAsync(NbdOption.ListMetaContext, Query(string.Empty, "base:"));
        Assert.Equal(
            [NbdOptionReplyType.MetaContext, NbdOptionReplyType.Ack], (await client.ReadOptionRepliesAsync()).Select(reply => reply.Header.Type));

        // What was chosen is dropped by a later choice that fails.
        await client.SendOptionAsync(NbdOption.SetMetaContext, query);
        await client.ReadOptionRepliesAsync();
        await client.SendOptionAsync(NbdOption.SetMetaContext, query[..^1]);
        Assert.Equal(NbdOptionReplyType.ErrInvalid, (await client.ReadOptionReplyAsync()).Header.Type);
        await client.GoAsync(string.Empty);
        Assert.Equal(NbdReplyType.Error, (await SendAsync(client, NbdCommand.BlockStatus, 0, 4096)).Type);
    }

    [Fact]
    public async Task Rule91_Export_name_after_extended_headers_ends_the_connection()
    {
        await using EmbeddedServer server = await StartAsync(new MemoryExport(Size));
        using WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendOptionAsync(NbdOption.ExtendedHeaders);
        await client.ReadOptionReplyAsync();
        await client.SendOptionAsync(NbdOption.ExportName);
        Assert.True(await client.IsClosedAsync());
    }

    [Theory]
    [InlineData("compact request")]
    [InlineData("payload of 4 GiB")]
    public async Task Rule89_Request_of_the_other_form_or_with_a_payload_beyond_all_limits_ends_the_connection(string what)
    {
        await using EmbeddedServer server = await StartAsync(new MemoryExport(Size));
        using WireClient client = await OpenAsync(server);
        byte[] frame = new byte[NbdExtendedRequestHeader.Size];
        if (what == "compact request")
        {
            NbdRequestHeader.Write(frame, 0, NbdCommand.Read, 1, 0, 512);
        }
        else
        {
            NbdExtendedRequestHeader.Write(frame, NbdCommandFlags.PayloadLen, NbdCommand.Write, 1, 0, 1UL << 32);
        }

        await client.SendAsync(frame);
        Assert.True(await client.IsClosedAsync());
    }

    private static Task<EmbeddedServer> StartAsync(IBackend backend, bool extended = true) => RealServers.Embedded(
        () => backend, open => new() { ExtendedHeaders = extended, Exports = [new() { Backend = open }] });

    private static NbdTarget Target(RealServer server) => NbdTarget.FromUri(NbdUri.Parse(server.Uri));

    private static byte[] Query(string name, params string[] queries)
    {
        byte[] data = new byte[NbdMetaContextQuery.GetSize(name, queries)];
        NbdMetaContextQuery.Write(data, name, queries);
        return data;
    }

    private static async Task<WireClient> OpenAsync(EmbeddedServer server, bool context = true)
    {
        WireClient client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendOptionAsync(NbdOption.ExtendedHeaders);
        Assert.Equal(NbdOptionReplyType.Ack, (await client.ReadOptionReplyAsync()).Header.Type);
        if (context)
        {
            await client.SendOptionAsync(NbdOption.SetMetaContext, Query(string.Empty, NbdMetaContextNames.BaseAllocation));
            Assert.Equal(NbdOptionReplyType.Ack, (await client.ReadOptionRepliesAsync())[^1].Header.Type);
        }

        await client.GoAsync(string.Empty);
        return client;
    }

    /// <summary>Sends an extended request, and takes its reply of one chunk.</summary>
    private static async Task<(NbdReplyType Type, byte[] Payload)> SendAsync(
        WireClient client, NbdCommand command, ulong offset, ulong length, NbdCommandFlags flags = 0, byte[]? payload = null)
    {
        byte[] header = new byte[NbdExtendedRequestHeader.Size];
        NbdExtendedRequestHeader.Write(header, flags, command, 77, offset, length);
        await client.SendAsync((byte[])[.. header, .. payload ?? []]);
        Assert.True(NbdExtendedReplyHeader.TryRead(await client.ReceiveAsync(NbdExtendedReplyHeader.Size), out NbdExtendedReplyHeader reply));
        Assert.Equal((77UL, offset, true), (reply.Cookie, reply.Offset, reply.IsDone));
        return (reply.Type, await client.ReceiveAsync((int)reply.Length));
    }

    /// <summary>Holes that are no whole blocks: 0 to 5000, and from 9000 on.</summary>
    private sealed class OddHoles : IBackend
    {
        public long Size => 16384;

        public bool IsReadOnly => false;

        public NbdError Read(long offset, Span<byte> buffer)
        {
            buffer.Clear();
            return NbdError.None;
        }

        public NbdError Write(long offset, ReadOnlySpan<byte> data, bool fua) => NbdError.None;

        public NbdError Flush() => NbdError.None;

        public NbdError Trim(long offset, long length, bool fua) => NbdError.None;

        public NbdError Zero(long offset, long length, bool noHole, bool fast, bool fua) => NbdError.None;

        public NbdError Cache(long offset, long length) => NbdError.None;

        public long NextExtent(long offset, long length, out bool isHole)
        {
            isHole = offset is < 5000 or >= 9000;
            long end = offset < 5000 ? 5000 : offset < 9000 ? 9000 : Size;
            return Math.Min(end - offset, length);
        }

        public void Dispose()
        {
        }
    }
}
