using NbdFuse.Protocol;
using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Server;

public sealed class ServerTransmissionTests
{
    private const int Chunk = MemoryExport.ChunkSize;
    private const long Size = 64 << 20;

    [Fact]
    public async Task Write_is_read_back_by_simple_and_structured_replies()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(Size));
        byte[] data = PatternData.Create(1, 1000, 300_000);
        using WireClient simple = await WireClient.OpenAsync(server.EndPoint, structured: false);
        Assert.Equal(NbdError.None, await simple.WriteAsync(1000, data));
        PatternData.AssertEqual(data, await simple.ReadSimpleDataAsync(1000, data.Length), 1000);
        using WireClient structured = await WireClient.OpenAsync(server.EndPoint);
        PatternData.AssertEqual(data, await ReadAsync(structured, 1000, data.Length), 1000);
    }

    [Fact]
    public async Task Unwritten_chunks_are_sent_as_holes()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(Size));
        using WireClient client = await WireClient.OpenAsync(server.EndPoint);
        Assert.Equal(NbdError.None, await client.WriteAsync(2 * Chunk, [1]));
        ulong cookie = await client.SendRequestAsync(NbdCommand.Read, 0, 5 * Chunk);
        List<(NbdStructuredReplyHeader Header, byte[] Payload)> chunks = await client.ReadChunksAsync(cookie);
        Assert.Equal(
            [NbdReplyType.OffsetHole, NbdReplyType.OffsetData, NbdReplyType.OffsetHole],
            chunks.Select(chunk => chunk.Header.Type));
        Assert.True(NbdOffsetHoleChunk.TryRead(chunks[0].Payload, out NbdOffsetHoleChunk hole));
        Assert.Equal(new NbdOffsetHoleChunk(0, 2 * Chunk), hole);
        Assert.True(NbdOffsetHoleChunk.TryRead(chunks[2].Payload, out hole));
        Assert.Equal(new NbdOffsetHoleChunk(3 * Chunk, 2 * Chunk), hole);
    }

    [Fact]
    public async Task Df_read_is_one_chunk()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(Size));
        using WireClient client = await WireClient.OpenAsync(server.EndPoint);
        Assert.Equal(NbdError.None, await client.WriteAsync(Chunk, [1]));
        ulong cookie = await client.SendRequestAsync(NbdCommand.Read, 0, 3 * Chunk, NbdCommandFlags.Df);
        (NbdStructuredReplyHeader header, byte[] payload) = Assert.Single(await client.ReadChunksAsync(cookie));
        Assert.Equal(NbdReplyType.OffsetData, header.Type);
        Assert.Equal((3 * Chunk) + NbdOffsetDataChunk.Size, payload.Length);
    }

    [Fact]
    public async Task Largest_payload_passes_both_ways()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(Size));
        using WireClient client = await WireClient.OpenAsync(server.EndPoint);
        byte[] data = PatternData.Create(2, 4096, NbdLimits.MaxPayloadBytes);
        Assert.Equal(NbdError.None, await client.WriteAsync(4096, data));
        PatternData.AssertEqual(data, await ReadAsync(client, 4096, data.Length), 4096);
    }

    [Theory]
    [InlineData(NbdCommandFlags.None)]
    [InlineData(NbdCommandFlags.NoHole)]
    public async Task Zeroes_read_back_as_zeroes(NbdCommandFlags flags)
    {
        var memory = new MemoryExport(Size);
        await using EmbeddedServer server = await RealServers.Embedded(() => memory);
        using WireClient client = await WireClient.OpenAsync(server.EndPoint);
        byte[] model = PatternData.Create(3, 0, 8 * Chunk);
        Assert.Equal(NbdError.None, await client.WriteAsync(0, model));
        Assert.Equal(NbdError.None, await client.SimpleAsync(NbdCommand.WriteZeroes, Chunk - 10, (4 * Chunk) + 20, flags));
        Array.Clear(model, Chunk - 10, (4 * Chunk) + 20);
        PatternData.AssertEqual(model, await ReadAsync(client, 0, model.Length));
        Assert.Equal(flags == NbdCommandFlags.NoHole ? 8 * Chunk : 4 * Chunk, memory.AllocatedBytes);
    }

    [Fact]
    public async Task Trim_gives_memory_back()
    {
        var memory = new MemoryExport(Size);
        await using EmbeddedServer server = await RealServers.Embedded(() => memory);
        using WireClient client = await WireClient.OpenAsync(server.EndPoint);
        await client.WriteAsync(0, new byte[4 * Chunk]);
        Assert.Equal(NbdError.None, await client.SimpleAsync(NbdCommand.Trim, 0, (uint)Size));
        Assert.Equal(0, memory.AllocatedBytes);
    }

    [Fact]
    public async Task Fast_zero_that_is_not_fast_is_refused()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new CountingExport(Size));
        using WireClient client = await WireClient.OpenAsync(server.EndPoint, structured: false);
        Assert.Equal(NbdError.NotSup, await client.SimpleAsync(NbdCommand.WriteZeroes, 0, 4096, NbdCommandFlags.FastZero));
        Assert.Equal(NbdError.None, await client.SimpleAsync(NbdCommand.WriteZeroes, 0, 4096));
    }

    [Fact]
    public async Task Flush_on_one_connection_covers_a_write_on_another()
    {
        var backend = new CountingExport(Size);
        await using EmbeddedServer server = await RealServers.Embedded(() => backend);
        using WireClient writer = await WireClient.OpenAsync(server.EndPoint);
        using WireClient flusher = await WireClient.OpenAsync(server.EndPoint);
        Assert.Equal(NbdError.None, await writer.WriteAsync(0, [1, 2, 3]));
        Assert.Equal(NbdError.None, await flusher.SimpleAsync(NbdCommand.Flush));
        Assert.Equal(1, backend.Flushes);
        Assert.Equal(new byte[] { 1, 2, 3 }, await ReadAsync(flusher, 0, 3));
        Assert.Equal(NbdError.None, await writer.WriteAsync(0, [1], NbdCommandFlags.Fua));
        Assert.Equal(1, backend.FuaWrites);
    }

    [Fact]
    public async Task Requests_in_one_segment_are_all_answered_in_order()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(Size));
        using WireClient client = await WireClient.OpenAsync(server.EndPoint, structured: false);
        const int Count = 500;
        byte[] batch = new byte[Count * (NbdRequestHeader.Size + 4096)];
        for (int index = 0; index < Count; index++)
        {
            // All to one place: the last one must win.
            Span<byte> frame = batch.AsSpan(index * (NbdRequestHeader.Size + 4096));
            NbdRequestHeader.Write(frame, NbdCommandFlags.None, NbdCommand.Write, (ulong)(1000 + index), 0, 4096);
            PatternData.Fill(frame.Slice(NbdRequestHeader.Size, 4096), (ulong)index, 0);
        }

        Task sending = client.SendAsync(batch);
        for (int index = 0; index < Count; index++)
        {
            Assert.Equal(NbdError.None, await client.ReadSimpleAsync((ulong)(1000 + index)));
        }

        await sending;
        PatternData.AssertEqual(PatternData.Create(Count - 1, 0, 4096), await client.ReadSimpleDataAsync(0, 4096));
    }

    public static TheoryData<NbdCommand, long, uint, NbdCommandFlags, NbdError> BadRequests => new()
    {
        { NbdCommand.Read, Size - 511, 512, NbdCommandFlags.None, NbdError.Inval },
        { NbdCommand.Read, Size + 1, 1, NbdCommandFlags.None, NbdError.Inval },
        { NbdCommand.Read, -1, 512, NbdCommandFlags.None, NbdError.Inval },
        { NbdCommand.Read, 0, NbdLimits.MaxPayloadBytes + 1, NbdCommandFlags.None, NbdError.Overflow },
        { NbdCommand.Read, 0, 512, NbdCommandFlags.NoHole, NbdError.Inval },
        { NbdCommand.Read, 0, 512, (NbdCommandFlags)0x8000, NbdError.Inval },
        { NbdCommand.Flush, 1, 0, NbdCommandFlags.None, NbdError.Inval },
        { NbdCommand.Flush, 0, 1, NbdCommandFlags.None, NbdError.Inval },
        { NbdCommand.Trim, Size, 1, NbdCommandFlags.None, NbdError.Inval },
        { NbdCommand.Trim, 0, 512, NbdCommandFlags.NoHole, NbdError.Inval },
        { NbdCommand.WriteZeroes, Size - 1, 2, NbdCommandFlags.None, NbdError.NoSpc },
        { NbdCommand.WriteZeroes, 0, 2, NbdCommandFlags.Df, NbdError.Inval },
        { NbdCommand.Cache, Size, 1, NbdCommandFlags.None, NbdError.Inval },
        { NbdCommand.BlockStatus, 0, 512, NbdCommandFlags.None, NbdError.Inval },
        { (NbdCommand)1234, 0, 0, NbdCommandFlags.None, NbdError.Inval },
    };

    [Theory]
    [MemberData(nameof(BadRequests))]
    public async Task Bad_request_gets_its_error_and_the_connection_goes_on(
        NbdCommand command, long offset, uint length, NbdCommandFlags flags, NbdError expected)
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(Size));
        using WireClient structured = await WireClient.OpenAsync(server.EndPoint);
        ulong cookie = await structured.SendRequestAsync(command, offset, length, flags);
        (NbdError error, string message) = await structured.ReadErrorAsync(cookie);
        Assert.Equal(expected, error);
        Assert.NotEmpty(message);
        Assert.Equal(NbdError.None, await structured.WriteAsync(0, [1]));
        using WireClient simple = await WireClient.OpenAsync(server.EndPoint, structured: false);
        Assert.Equal(expected, await simple.SimpleAsync(command, offset, length, flags));
        Assert.Equal(NbdError.None, await simple.WriteAsync(0, [1]));
    }

    [Fact]
    public async Task Bad_write_is_refused_and_its_payload_skipped()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(Size));
        using WireClient client = await WireClient.OpenAsync(server.EndPoint, structured: false);
        Assert.Equal(NbdError.NoSpc, await client.WriteAsync(Size - 1, new byte[100_000]));
        Assert.Equal(NbdError.Inval, await client.WriteAsync(0, new byte[NbdLimits.MaxPayloadBytes + 1]));
        Assert.Equal(NbdError.None, await client.WriteAsync(0, [1]));
    }

    [Fact]
    public async Task Write_of_gigabytes_ends_its_connection_only()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(1L << 40));
        using WireClient witness = await WireClient.OpenAsync(server.EndPoint);
        using WireClient client = await WireClient.OpenAsync(server.EndPoint);
        await client.SendRequestAsync(NbdCommand.Write, 0, 0xffffffff);
        Assert.True(await client.IsClosedAsync());
        Assert.Equal(NbdError.None, await witness.WriteAsync(0, [1]));
    }

    [Fact]
    public async Task Request_with_wrong_magic_ends_the_connection()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(Size));
        using WireClient client = await WireClient.OpenAsync(server.EndPoint);
        await client.SendAsync(new byte[NbdRequestHeader.Size]);
        Assert.True(await client.IsClosedAsync());
    }

    [Theory]
    [InlineData(NbdError.Io)]
    [InlineData(NbdError.NoSpc)]
    public async Task Failing_backend_is_an_error_reply(NbdError failure)
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new CountingExport(Size) { Failure = failure });
        using WireClient simple = await WireClient.OpenAsync(server.EndPoint, structured: false);
        Assert.Equal(failure, await simple.SimpleAsync(NbdCommand.Read, 0, 4096));
        Assert.Equal(failure, await simple.WriteAsync(0, new byte[4096]));
        Assert.Equal(failure, await simple.SimpleAsync(NbdCommand.Flush));
        using WireClient structured = await WireClient.OpenAsync(server.EndPoint);
        ulong cookie = await structured.SendRequestAsync(NbdCommand.Read, 0, 4096);
        Assert.Equal(failure, (await structured.ReadErrorAsync(cookie)).Error);
    }

    [Fact]
    public async Task Backend_that_throws_ends_the_connection_and_not_the_server()
    {
        var backend = new CountingExport(Size) { Throws = true };
        await using EmbeddedServer server = await RealServers.Embedded(() => backend);
        using WireClient client = await WireClient.OpenAsync(server.EndPoint);
        await client.WriteAsync(0, [1]);
        await client.SendRequestAsync(NbdCommand.Read, 0, 512);
        Assert.True(await client.IsClosedAsync());
        backend.Throws = false;
        using WireClient next = await WireClient.OpenAsync(server.EndPoint);
        Assert.Equal(new byte[] { 1 }, await ReadAsync(next, 0, 1));
    }

    [Fact]
    public async Task Disc_is_answered_by_a_close_after_all_replies()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(Size));
        using WireClient client = await WireClient.OpenAsync(server.EndPoint);
        ulong write = await client.SendRequestAsync(NbdCommand.Write, 0, 1, payload: [7]);
        await client.SendRequestAsync(NbdCommand.Disc);
        Assert.Equal(NbdError.None, await client.ReadSimpleAsync(write));
        Assert.True(await client.IsClosedAsync());
    }

    [Fact]
    public async Task Zero_length_requests_succeed()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(Size));
        using WireClient client = await WireClient.OpenAsync(server.EndPoint, structured: false);
        Assert.Empty(await client.ReadSimpleDataAsync(Size, 0));
        Assert.Equal(NbdError.None, await client.WriteAsync(Size, []));
        Assert.Equal(NbdError.None, await client.SimpleAsync(NbdCommand.Trim));
        Assert.Equal(NbdError.None, await client.SimpleAsync(NbdCommand.WriteZeroes));
    }

    [Fact]
    public async Task Stopping_the_server_closes_its_connections()
    {
        await using EmbeddedServer server = await RealServers.Embedded(() => new MemoryExport(Size));
        using WireClient client = await WireClient.OpenAsync(server.EndPoint);
        await server.StopAsync();
        Assert.True(await client.IsClosedAsync());
        Assert.False(File.Exists(server.SocketPath));
    }

    private static async Task<byte[]> ReadAsync(WireClient client, long offset, int length)
    {
        ulong cookie = await client.SendRequestAsync(NbdCommand.Read, offset, (uint)length);
        byte[] data = new byte[length];
        int covered = 0;
        foreach ((NbdStructuredReplyHeader header, byte[] payload) in await client.ReadChunksAsync(cookie))
        {
            if (header.Type == NbdReplyType.OffsetHole)
            {
                Assert.True(NbdOffsetHoleChunk.TryRead(payload, out NbdOffsetHoleChunk hole));
                covered += (int)hole.Length;
                continue;
            }

            Assert.Equal(NbdReplyType.OffsetData, header.Type);
            Assert.True(NbdOffsetDataChunk.TryRead(payload, out NbdOffsetDataChunk chunk));
            payload.AsSpan(NbdOffsetDataChunk.Size).CopyTo(data.AsSpan((int)((long)chunk.Offset - offset)));
            covered += payload.Length - NbdOffsetDataChunk.Size;
        }

        Assert.Equal(length, covered);
        return data;
    }
}
