using NbdFuse.Block;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

/// <summary>A connection on which extended headers were negotiated (proto.md, branch extension-ext-header).</summary>
public sealed class ExtendedHeaderTests
{
    private const uint Context = 7;
    private const long Offset = 0x1122334455667000;

    private static readonly Dictionary<string, (string Rule, Func<NbdExtendedRequestHeader, byte[]> Reply)> ReadViolations = new()
    {
        ["simple reply"] = ("magic of an extended one", r => Reply.Simple(r.Cookie)),
        ["structured reply"] = ("magic of an extended one", r => Reply.Pattern(r.Cookie, Offset, 1000, done: true)),
        ["magic of a request"] = ("magic of an extended one", _ => [0x21, 0xe4, 0x1c, 0x71, .. new byte[28]]),
        ["other offset"] = ("that of its request", r => ExtendedReply.Chunk(r, NbdReplyType.None, [], offset: (ulong)Offset + 1)),
        ["offset 0"] = ("that of its request", r => ExtendedReply.Chunk(r, NbdReplyType.Error, [0, 0, 0, 5, 0, 0], offset: 0)),
        ["length of 33 bits"] = ("more than 32 bits", r => ExtendedReply.Chunk(r, NbdReplyType.OffsetData, [], length: 1UL << 32)),
        ["length of 64 bits"] = ("more than 32 bits", r => ExtendedReply.Chunk(r, NbdReplyType.Error, [], length: ulong.MaxValue)),
        ["4 GiB of data"] = ("inside its READ", r => ExtendedReply.Chunk(r, NbdReplyType.OffsetData, GoldenFrame.Hex("1122334455667000"), length: uint.MaxValue)),
        ["data past the READ"] = ("inside its READ", r => ExtendedReply.Pattern(r, Offset, 1001)),
        ["data of length 0"] = ("carries data", r => ExtendedReply.Pattern(r, Offset, 0)),
        ["gap"] = ("cover all", r => ExtendedReply.Pattern(r, Offset, 999)),
        ["same data twice"] = ("overlap", r => [.. ExtendedReply.Pattern(r, Offset, 500, done: false), .. ExtendedReply.Pattern(r, Offset, 500)]),
        ["hole past the READ"] = ("inside its READ", r => ExtendedReply.Hole(r, Offset, 1001)),
        ["hole of length 0"] = ("hole is not empty", r => ExtendedReply.Hole(r, Offset, 0)),
        ["hole chunk of 13 bytes"] = ("length 12", r => ExtendedReply.Chunk(r, NbdReplyType.OffsetHole, new byte[13])),
        ["NONE with a payload"] = ("NONE chunk", r => ExtendedReply.Chunk(r, NbdReplyType.None, [1])),
        ["error 0"] = ("names an error", r => ExtendedReply.Error(r, 0)),
        ["error chunk of 4 GiB"] = ("at most 4096", r => ExtendedReply.Chunk(r, NbdReplyType.Error, [], length: uint.MaxValue)),
        ["status that nobody asked for"] = ("type that is defined", r => ExtendedReply.Status(r, Context, done: true, new NbdBlockExtent(512, 0))),
        ["unknown cookie"] = ("command in flight", r => ExtendedReply.None(r with { Cookie = r.Cookie + (1UL << 32) })),
    };

    private static readonly Dictionary<string, (string Rule, Func<NbdExtendedRequestHeader, byte[]> Reply)> StatusViolations = new()
    {
        ["chunk of 32 bits"] = ("type that is defined", r => ExtendedReply.Chunk(r, NbdReplyType.BlockStatus, new byte[12])),
        ["upper bits of the status"] = ("upper 32 bits", r => ExtendedReply.Status(r, Context, done: true, new NbdBlockExtent(512, 1UL << 32))),
        ["count of 2 in a chunk of 1"] = ("count of extents", r => Miscounted(r)),
        ["zero length"] = ("nonzero", r => ExtendedReply.Status(r, Context, done: true, new NbdBlockExtent(0, 0))),
        ["longer than asked"] = ("must not exceed", r => ExtendedReply.Status(r, Context, done: true, new NbdBlockExtent((1UL << 40) + 1, 0))),
        ["endless"] = ("must not exceed", r => ExtendedReply.Status(r, Context, done: true, new NbdBlockExtent(ulong.MaxValue, 0))),
        ["two extents"] = ("exactly one extent", r => ExtendedReply.Status(r, Context, done: true, new NbdBlockExtent(512, 0), new NbdBlockExtent(512, 3))),
        ["no extent"] = ("exactly one extent", r => ExtendedReply.Chunk(r, NbdReplyType.BlockStatusExt, new byte[8])),
        ["unknown context"] = ("that was negotiated", r => ExtendedReply.Status(r, Context + 1, done: true, new NbdBlockExtent(512, 0))),
        ["two chunks"] = ("one chunk for each context", r => Twice(r)),
        ["no chunk"] = ("one chunk for each context", r => ExtendedReply.None(r)),
    };

    public static TheoryData<string> ReadNames { get; } = [.. ReadViolations.Keys];

    public static TheoryData<string> StatusNames { get; } = [.. StatusViolations.Keys];

    [Theory]
    [InlineData(BlockOperation.Read, BlockRequestFlags.None, "21e41c71 0000 0000")]
    [InlineData(BlockOperation.Write, BlockRequestFlags.None, "21e41c71 0020 0001")]
    [InlineData(BlockOperation.Write, BlockRequestFlags.Fua, "21e41c71 0021 0001")]
    [InlineData(BlockOperation.Trim, BlockRequestFlags.Fua, "21e41c71 0001 0004")]
    [InlineData(BlockOperation.Cache, BlockRequestFlags.None, "21e41c71 0000 0005")]
    [InlineData(BlockOperation.WriteZeroes, BlockRequestFlags.Fua | BlockRequestFlags.NoHole | BlockRequestFlags.FastZero, "21e41c71 0013 0006")]
    [InlineData(BlockOperation.BlockStatus, BlockRequestFlags.None, "21e41c71 0008 0007")]
    public async Task Rules89_and_90_Request_is_on_the_wire_byte_for_byte_and_only_a_write_has_a_payload(
        BlockOperation operation, BlockRequestFlags flags, string start)
    {
        await using ConnectionHarness harness = Extended();
        harness.Submit(operation, Offset, 0x1000, flags);
        byte[] bytes = harness.Receive(NbdExtendedRequestHeader.Size);
        Assert.Equal(GoldenFrame.Hex(start), bytes[..8]);
        Assert.Equal(GoldenFrame.Hex("1122334455667000 0000000000001000"), bytes[16..]);
        if (operation == BlockOperation.Write)
        {
            PatternData.AssertEqual(PatternData.Create(7, Offset, 0x1000), harness.Receive(0x1000));
        }

        // Nothing lies between it and the next one.
        harness.Submit(BlockOperation.Flush);
        NbdExtendedRequestHeader flush = Next(harness);
        Assert.Equal((NbdCommand.Flush, NbdCommandFlags.None, 0UL, 0UL), (flush.Command, flush.Flags, flush.Offset, flush.Length));
    }

    [Theory]
    [InlineData(BlockOperation.Trim)]
    [InlineData(BlockOperation.WriteZeroes)]
    [InlineData(BlockOperation.Cache)]
    [InlineData(BlockOperation.BlockStatus)]
    public async Task Rule53_Request_without_a_payload_may_name_more_than_32_bits_in_one(BlockOperation operation)
    {
        await using ConnectionHarness harness = Extended();
        harness.Submit(operation, 4096, 1L << 62);
        NbdExtendedRequestHeader header = Next(harness);
        Assert.Equal((4096UL, 1UL << 62), (header.Offset, header.Length));
        Assert.False(header.HasPayload);
    }

    [Fact]
    public async Task Rule89_Replies_are_understood_in_any_fragmentation()
    {
        await using ConnectionHarness harness = Extended();
        const int Length = 100;
        int longest = (3 * NbdExtendedReplyHeader.Size) + NbdOffsetDataChunk.Size + 60 + NbdOffsetHoleChunk.Size;
        foreach (IReadOnlyList<byte[]> pieces in WireData.Fragmentations(new byte[longest]))
        {
            BlockRequest read = harness.Read(Offset, Length);
            NbdExtendedRequestHeader header = Next(harness);
            byte[] reply =
            [
                .. ExtendedReply.Hole(header, Offset + 60, 40, done: false),
                .. ExtendedReply.Pattern(header, Offset, 60, done: false),
                .. ExtendedReply.None(header),
            ];
            Assert.Equal(longest, reply.Length);
            int at = 0;
            foreach (byte[] piece in pieces)
            {
                harness.Send(reply[at..(at + piece.Length)]);
                at += piece.Length;
            }

            Assert.Equal(0, await harness.Ended(read));
            PatternData.AssertEqual(PatternData.Create(7, Offset, 60), read.Buffer.Span[..60], Offset);
            PatternData.AssertZero(read.Buffer.Span[60..]);
        }
    }

    [Fact]
    public async Task Rule89_Replies_come_in_any_order_and_errors_fail_their_request_only()
    {
        await using ConnectionHarness harness = Extended();
        BlockRequest[] requests =
        [
            harness.Make(BlockOperation.Read, 4096, 4096), harness.Make(BlockOperation.Write, 65536, 4096), harness.Make(BlockOperation.Flush),
            harness.Make(BlockOperation.Read, 131072, 100_000), harness.Make(BlockOperation.Trim, 8192, 512),
        ];
        harness.Submit(requests);
        NbdExtendedRequestHeader[] headers = new NbdExtendedRequestHeader[requests.Length];
        for (int i = 0; i < requests.Length; i++)
        {
            headers[i] = Next(harness);
            _ = headers[i].HasPayload ? harness.Receive((int)headers[i].Length) : [];
        }

        harness.Send(
            ExtendedReply.Error(headers[4], 22),
            ExtendedReply.Pattern(headers[3], 131072, 100_000),
            ExtendedReply.None(headers[2]),
            ExtendedReply.None(headers[1]),
            ExtendedReply.Pattern(headers[0], 4096, 4096));
        Assert.Equal(BlockErrno.EINVAL, await harness.Ended(requests[4]));
        foreach (BlockRequest request in requests[..4])
        {
            await harness.AssertSucceeds(request);
        }
    }

    [Theory]
    [MemberData(nameof(ReadNames))]
    public async Task Rule89_Violation_ends_the_connection_and_names_the_rule(string name)
    {
        await using ConnectionHarness harness = Extended();
        BlockRequest read = harness.Read(Offset, 1000);
        BlockRequest other = harness.Submit(BlockOperation.Flush);
        NbdExtendedRequestHeader header = Next(harness);
        Next(harness);
        harness.Send(ReadViolations[name].Reply(header));
        await harness.AssertViolation(ReadViolations[name].Rule, read, other);
        Assert.Equal(2, harness.Endings);
    }

    [Theory]
    [MemberData(nameof(StatusNames))]
    public async Task Rule92_Hostile_status_ends_the_connection_with_the_rule(string name)
    {
        await using ConnectionHarness harness = Extended();
        BlockRequest request = harness.Submit(BlockOperation.BlockStatus, 4096, 1L << 40);
        harness.Send(StatusViolations[name].Reply(Next(harness)));
        await harness.AssertViolation(StatusViolations[name].Rule, request);
    }

    [Fact]
    public async Task Rule92_Status_has_64_bits_of_length_in_any_fragmentation()
    {
        await using ConnectionHarness harness = Extended();
        foreach (IReadOnlyList<byte[]> pieces in WireData.Fragmentations(new byte[NbdExtendedReplyHeader.Size + 24]))
        {
            BlockRequest request = harness.Submit(BlockOperation.BlockStatus, 4096, 1L << 62);
            byte[] reply = ExtendedReply.Status(Next(harness), Context, done: true, new NbdBlockExtent(1UL << 61, 0xfffffff3));
            int at = 0;
            foreach (byte[] piece in pieces)
            {
                harness.Send(reply[at..(at + piece.Length)]);
                at += piece.Length;
            }

            Assert.Equal(0, await harness.Ended(request));
            Assert.Equal((1L << 61, BlockStatus.Hole | BlockStatus.Zero), (request.StatusLength, request.Status));
        }
    }

    [Fact]
    public async Task Extended_reply_that_was_not_negotiated_is_a_violation()
    {
        await using var harness = new ConnectionHarness();
        BlockRequest flush = harness.Submit(BlockOperation.Flush);
        harness.Send(ExtendedReply.None(new NbdExtendedRequestHeader(0, NbdCommand.Flush, harness.NextCookie(), 0, 0)));
        await harness.AssertViolation("starts with its magic", flush);
    }

    [Fact]
    public async Task Request_of_more_than_32_bits_is_too_long_where_headers_are_compact()
    {
        await using var harness = new ConnectionHarness();
        Assert.Equal(BlockErrno.EOVERFLOW, await harness.Ended(harness.Submit(BlockOperation.Trim, 0, 1L << 32)));
        BlockRequest shorter = harness.Submit(BlockOperation.Trim, 0, (1L << 32) - 1);
        NbdRequestHeader header = harness.NextRequest();
        Assert.Equal(uint.MaxValue, header.Length);
        harness.Send(Reply.Simple(header.Cookie));
        await harness.AssertSucceeds(shorter);
    }

    [Fact]
    public async Task Rule89_Goodbye_has_the_extended_form()
    {
        await using ConnectionHarness harness = Extended();
        await harness.OnLoop(harness.Connection.Disconnect);
        Assert.Equal(NbdCommand.Disc, Next(harness).Command);
        harness.ExpectHangUp();
    }

    [Theory]
    [InlineData(4096, false)]
    [InlineData(100_000, true)]
    public async Task Payloads_reach_the_front_end_without_being_copied_as_with_structured_replies(int length, bool splices)
    {
        await using ConnectionHarness harness = Extended(splice: splices);
        var sink = new FakeSink();
        for (int i = 0; i < 5; i++)
        {
            BlockRequest read = harness.Read(i * length, length, sink);
            harness.Send(ExtendedReply.Pattern(Next(harness), read.Offset, length));
            Assert.Equal(0, await harness.Ended(read));
            Assert.True(read.IsDelivered);
            PatternData.AssertEqual(
                PatternData.Create(7, read.Offset, length), splices ? sink.Piped[i] : sink.Delivered[read.Tag], read.Offset);
        }
    }

    private static byte[] Miscounted(in NbdExtendedRequestHeader request)
    {
        byte[] chunk = ExtendedReply.Status(request, Context, done: true, new NbdBlockExtent(512, 0));
        chunk[NbdExtendedReplyHeader.Size + 7] = 2;
        return chunk;
    }

    private static byte[] Twice(in NbdExtendedRequestHeader request) =>
    [
        .. ExtendedReply.Status(request, Context, done: false, new NbdBlockExtent(512, 0)),
        .. ExtendedReply.Status(request, Context, done: true, new NbdBlockExtent(512, 0)),
    ];

    private static ConnectionHarness Extended(bool splice = false) => new(splice: splice, statusContext: Context, extended: true);

    private static NbdExtendedRequestHeader Next(ConnectionHarness harness)
    {
        byte[] bytes = harness.Receive(NbdExtendedRequestHeader.Size);
        Assert.True(NbdExtendedRequestHeader.TryRead(bytes, out NbdExtendedRequestHeader header), Convert.ToHexString(bytes));
        return header;
    }
}
