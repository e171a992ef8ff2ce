using NbdFuse.Block;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

/// <summary>NBD_CMD_BLOCK_STATUS on the loop: one extent, of the context that was negotiated.</summary>
public sealed class BlockStatusTests
{
    private const uint Context = 7;

    [Theory]
    [InlineData(0u, BlockStatus.Data)]
    [InlineData(1u, BlockStatus.Hole)]
    [InlineData(2u, BlockStatus.Zero)]
    [InlineData(0xfffffff3u, BlockStatus.Hole | BlockStatus.Zero)]
    public async Task Rule80_Status_is_understood_in_any_fragmentation_and_unknown_bits_are_ignored(uint status, BlockStatus expected)
    {
        await using var harness = new ConnectionHarness(statusContext: Context);
        foreach (IReadOnlyList<byte[]> pieces in WireData.Fragmentations(new byte[NbdStructuredReplyHeader.Size + 12]))
        {
            BlockRequest request = harness.Submit(BlockOperation.BlockStatus, 4096, 65536);
            NbdRequestHeader header = harness.NextRequest();
            Assert.Equal(
                (NbdCommand.BlockStatus, NbdCommandFlags.ReqOne, 4096UL, 65536u), (header.Command, header.Flags, header.Offset, header.Length));
            byte[] reply = Status(header.Cookie, Context, new NbdBlockExtent(1024, status));
            int at = 0;
            foreach (byte[] piece in pieces)
            {
                harness.Send(reply[at..(at + piece.Length)]);
                at += piece.Length;
            }

            Assert.Equal(0, await harness.Ended(request));
            Assert.Equal((1024, expected), (request.StatusLength, request.Status));
        }
    }

    [Theory]
    [InlineData("zero length", "nonzero")]
    [InlineData("longer than asked", "must not exceed")]
    [InlineData("two extents", "exactly one extent")]
    [InlineData("no extent", "exactly one extent")]
    [InlineData("unknown context", "that was negotiated")]
    [InlineData("two chunks", "one chunk for each context")]
    [InlineData("no chunk", "one chunk for each context")]
    [InlineData("simple success", "answered by chunks")]
    [InlineData("extended chunk", "type that is defined")]
    public async Task Rule86_Hostile_status_ends_the_connection_with_the_rule(string what, string rule)
    {
        await using var harness = new ConnectionHarness(statusContext: Context);
        BlockRequest request = harness.Submit(BlockOperation.BlockStatus, 4096, 65536);
        ulong cookie = harness.NextCookie();
        harness.Send(what switch
        {
            "zero length" => Status(cookie, Context, new NbdBlockExtent(0, 0)),
            "longer than asked" => Status(cookie, Context, new NbdBlockExtent(65537, 0)),
            "two extents" => Status(cookie, Context, new NbdBlockExtent(512, 0), new NbdBlockExtent(512, 3)),
            "no extent" => Reply.Chunk(cookie, NbdReplyType.BlockStatus, 1, [0, 0, 0, (byte)Context]),
            "unknown context" => Status(cookie, Context + 1, new NbdBlockExtent(512, 0)),
            "two chunks" => [.. StatusChunk(cookie, Context, done: 0, new NbdBlockExtent(512, 0)), .. Status(cookie, Context, new NbdBlockExtent(512, 0))],
            "no chunk" => Reply.None(cookie),
            "simple success" => Reply.Simple(cookie),
            _ => Reply.Chunk(cookie, NbdReplyType.BlockStatusExt, 1, new byte[24]),
        });
        await harness.AssertViolation(rule);
        await harness.Ended(request);
    }

    [Fact]
    public async Task Rule53_Question_that_is_longer_than_32_bits_names_less_in_whole_blocks()
    {
        await using var harness = new ConnectionHarness(statusContext: Context);
        BlockRequest request = harness.Submit(BlockOperation.BlockStatus, 1 << 30, 1L << 40);
        NbdRequestHeader header = harness.NextRequest();
        Assert.Equal((1UL << 30, 0xffff0000u), (header.Offset, header.Length));
        harness.Send(Status(header.Cookie, Context, new NbdBlockExtent(0xffff0000, 3)));
        Assert.Equal(0, await harness.Ended(request));
        Assert.Equal(0xffff0000L, request.StatusLength);
        BlockRequest more = harness.Submit(BlockOperation.BlockStatus, 1 << 30, 1L << 40);
        harness.Send(Status(harness.NextCookie(), Context, new NbdBlockExtent(0xffff0001, 3)));
        await harness.AssertViolation("must not exceed", more);
    }

    [Fact]
    public async Task Error_of_the_server_fails_the_request_only()
    {
        await using var harness = new ConnectionHarness(statusContext: Context);
        BlockRequest request = harness.Submit(BlockOperation.BlockStatus, 0, 512);
        harness.Send(Reply.Error(harness.NextCookie(), 22, "no"));
        Assert.Equal(BlockErrno.EINVAL, await harness.Ended(request));
        BlockRequest read = harness.Read(0, 512);
        harness.Send(Reply.Pattern(harness.NextCookie(), 0, 512, done: true));
        await harness.AssertSucceeds(read);
    }

    [Fact]
    public async Task Rule78_Without_a_context_nothing_is_sent()
    {
        await using var harness = new ConnectionHarness();
        Assert.Equal(BlockErrno.EOPNOTSUPP, await harness.Ended(harness.Submit(BlockOperation.BlockStatus, 0, 512)));
        BlockRequest flush = harness.Submit(BlockOperation.Flush);
        NbdRequestHeader first = harness.NextRequest();
        Assert.Equal(NbdCommand.Flush, first.Command);
        harness.Send(Reply.Simple(first.Cookie));
        Assert.Equal(0, await harness.Ended(flush));
    }

    private static byte[] Status(ulong cookie, uint context, params NbdBlockExtent[] extents) => StatusChunk(cookie, context, 1, extents);

    private static byte[] StatusChunk(ulong cookie, uint context, int done, params NbdBlockExtent[] extents)
    {
        byte[] payload = new byte[NbdBlockStatusChunk.GetSize(extents.Length, extended: false)];
        NbdBlockStatusChunk.Write(payload, context, extents, extended: false);
        return Reply.Chunk(cookie, NbdReplyType.BlockStatus, done, payload);
    }
}
