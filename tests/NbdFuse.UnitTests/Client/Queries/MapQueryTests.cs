using NbdFuse.Client;
using NbdFuse.Protocol;
using Xunit;
using static NbdFuse.UnitTests.Client.Queries.QueryPeer;

namespace NbdFuse.UnitTests.Client.Queries;

/// <summary>Maps, by servers that obey the rules and by others.</summary>
public sealed class MapQueryTests
{
    [Theory]
    [InlineData(false, 1)]
    [InlineData(true, 1)]
    [InlineData(false, 7)]
    [InlineData(true, int.MaxValue)]
    public async Task Rule81_Replies_shorter_and_longer_than_asked_make_one_map_with_equal_neighbours_merged(bool extended, int writeSize)
    {
        List<NbdMapExtent> map = await MapAsync(extended, peer =>
        {
            peer.WriteSize = writeSize;
            NbdExtendedRequestHeader request = ReadRequest(peer, extended);
            Assert.Equal((NbdCommand.BlockStatus, NbdCommandFlags.None, 0UL, Size), (request.Command, request.Flags, request.Offset, request.Length));
            peer.Send(Status(request, extended, new(4096, 0), new(4096, 3), new(1000, 3)));
            request = ReadRequest(peer, extended);
            Assert.Equal((9192UL, Size - 9192), (request.Offset, request.Length));
            peer.Send(Status(request, extended, new NbdBlockExtent(808, 3)));
            request = ReadRequest(peer, extended);

            // Unknown bits, and past the end of the export: one of two that know more than was asked.
            peer.Send(Status(request, extended, new(10_000, 0x80000001), new(0xffff0000, 2)));
            ExpectGoodbye(peer, extended);
        });
        Assert.Equal(
            [new(0, 4096, 0), new(4096, 5904, 3), new(10_000, 10_000, 0x80000001), new(20_000, (long)Size - 20_000, 2)], map);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Rule81_Chunks_of_several_contexts_come_in_any_order(bool extended)
    {
        List<NbdMapExtent> map = await MapAsync(
            extended,
            peer =>
            {
                NbdExtendedRequestHeader request = ReadRequest(peer, extended);
                peer.Send(Chunk(request, extended, StatusType(extended), done: false, Extents(extended, 8, new(100, 1), new(Size, 0))));
                peer.Send(Chunk(request, extended, StatusType(extended), done: false, Extents(extended, 7, new NbdBlockExtent(Size, 3))));
                peer.Send(Chunk(request, extended, NbdReplyType.None, done: true, []));
                ExpectGoodbye(peer, extended);
            },
            two: true);
        Assert.Equal([new(0, (long)Size, 3)], map);
    }

    [Fact]
    public async Task Rule92_Extended_status_keeps_64_bits_of_length_in_one_request()
    {
        const ulong Huge = 1UL << 50;
        List<NbdMapExtent> map = await MapAsync(
            extended: true,
            peer =>
            {
                NbdExtendedRequestHeader request = ReadRequest(peer, extended: true);
                Assert.Equal(Huge, request.Length);
                peer.Send(Status(request, extended: true, new(1UL << 40, 0), new(Huge - (1UL << 40), 3)));
                ExpectGoodbye(peer, extended: true);
            },
            Huge);
        Assert.Equal([new(0, 1L << 40, 0), new(1L << 40, (long)(Huge - (1UL << 40)), 3)], map);
    }

    [Fact]
    public async Task Rule48_Requests_without_extended_headers_stay_below_4_GiB_and_are_whole_blocks()
    {
        const ulong Five = (5UL << 30) + 100;
        List<NbdMapExtent> map = await MapAsync(
            extended: false,
            peer =>
            {
                NbdExtendedRequestHeader request = ReadRequest(peer, extended: false);
                Assert.Equal((0UL, 0xfffff000UL), (request.Offset, request.Length));
                peer.Send(Status(request, extended: false, new NbdBlockExtent(0xfffff000, 3)));
                request = ReadRequest(peer, extended: false);

                // The tail below a block can't be asked about.
                Assert.Equal((0xfffff000UL, (5UL << 30) - 0xfffff000), (request.Offset, request.Length));
                peer.Send(Status(request, extended: false, new NbdBlockExtent(request.Length, 3)));
                ExpectGoodbye(peer, extended: false);
            },
            Five,
            sizes: new(4096, 4096, 65536));
        Assert.Equal([new(0, 5L << 30, 3)], map);
    }

    [Theory]
    [InlineData(NbdError.Overflow)]
    [InlineData(NbdError.Inval)]
    public async Task Rule53_Requests_that_are_too_long_are_asked_again_in_halves(NbdError error)
    {
        const ulong Large = 8 << 20;
        List<NbdMapExtent> map = await MapAsync(
            extended: false,
            peer =>
            {
                List<ulong> lengths = [];
                NbdExtendedRequestHeader request;
                while ((request = ReadRequest(peer, extended: false)).Length > 2 << 20)
                {
                    lengths.Add(request.Length);
                    peer.Send(Chunk(request, extended: false, NbdReplyType.Error, done: true, [0, 0, 0, (byte)error, 0, 0]));
                }

                Assert.Equal([Large, Large / 2], lengths);
                for (ulong offset = 0; ; offset += 2 << 20, request = ReadRequest(peer, extended: false))
                {
                    if (request.Command == NbdCommand.Disc)
                    {
                        break;
                    }

                    Assert.Equal((offset, 2UL << 20), (request.Offset, request.Length));
                    peer.Send(Status(request, extended: false, new NbdBlockExtent(2 << 20, 0)));
                }
            },
            Large);
        Assert.Equal([new(0, (long)Large, 0)], map);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Error_of_the_server_is_told_with_its_words(bool extended)
    {
        NbdRequestException error = await Assert.ThrowsAsync<NbdRequestException>(() => MapAsync(extended, peer =>
        {
            NbdExtendedRequestHeader request = ReadRequest(peer, extended);
            byte[] payload = [0, 0, 0, 5, 0, 4, .. "b\u001bad"u8];
            peer.Send(Chunk(request, extended, NbdReplyType.Error, done: false, payload));
            peer.Send(Chunk(request, extended, NbdReplyType.None, done: true, []));
            peer.ExpectEnd();
        }));
        Assert.Equal(NbdError.Io, error.Error);
        Assert.Contains("NBD_CMD_BLOCK_STATUS", error.Message, StringComparison.Ordinal);
        Assert.EndsWith("the server says: bad", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Error_in_a_simple_reply_is_an_error_of_the_server()
    {
        NbdRequestException error = await Assert.ThrowsAsync<NbdRequestException>(() => MapAsync(extended: false, peer =>
        {
            byte[] reply = new byte[NbdSimpleReplyHeader.Size];
            NbdSimpleReplyHeader.Write(reply, 5, ReadRequest(peer, extended: false).Cookie);
            peer.Send(reply);
            peer.ExpectEnd();
        }));
        Assert.Equal(NbdError.Io, error.Error);
    }

    public static TheoryData<string, bool, string> Violations
    {
        get
        {
            TheoryData<string, bool, string> data = [];
            foreach (bool extended in new[] { false, true })
            {
                data.Add("zero length", extended, "nonzero");
                data.Add("zero length later", extended, "nonzero");
                data.Add("past the request, then more", extended, "all extents but the last");
                data.Add("unknown context", extended, "one that was negotiated");
                data.Add("context twice", extended, "exactly one chunk for each");
                data.Add("context missing", extended, "exactly one chunk for each");
                data.Add("no chunk at all", extended, "exactly one chunk for each");
                data.Add("half an extent", extended, "whole extents");
                data.Add("no extent", extended, "whole extents");
                data.Add("too many extents", extended, "1 to 1048576");
                data.Add("other kind of chunk", extended, "defined for its command");
                data.Add("data for status", extended, "defined for its command");
                data.Add("none with payload", extended, "empty and the last");
                data.Add("none that is not last", extended, "empty and the last");
                data.Add("wrong cookie", extended, "a command in flight");
                data.Add("wrong magic", extended, "magic");
                data.Add("huge error text", extended, "at most 4096");
                data.Add("error zero", extended, "not 0");
            }

            data.Add("success in a simple reply", false, "answered by chunks");
            data.Add("simple reply", true, "0x6e8a278c");
            data.Add("wrong offset", true, "offset must match");
            data.Add("wrong count", true, "count of extents");
            data.Add("wide status", true, "upper 32 bits");
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Violations))]
    public async Task Rule86_Hostile_status_ends_the_query_with_the_rule(string what, bool extended, string rule)
    {
        bool two = what is "context missing";
        NbdProtocolException error = await Assert.ThrowsAsync<NbdProtocolException>(() => MapAsync(
            extended,
            peer =>
            {
                // The client may hang up in the middle: whether the rest arrives is of no interest.
                _ = peer.TrySend(Violation(what, extended, ReadRequest(peer, extended)));
                peer.Close();
            },
            two: two));
        Assert.Contains(rule, error.Rule, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Status_cut_off_after_any_byte_is_an_error_and_no_hang(bool extended)
    {
        int whole = Status(default, extended, new(4096, 0), new(Size, 3)).Length;
        for (int length = 0; length < whole; length++)
        {
            int cut = length;
            NbdConnectException error = await Assert.ThrowsAsync<NbdConnectException>(() => MapAsync(extended, peer =>
            {
                peer.Send(Status(ReadRequest(peer, extended), extended, new(4096, 0), new(Size, 3))[..cut]);
                peer.Close();
            }));
            Assert.Equal(NbdConnectFailure.ClosedByServer, error.Reason);
        }
    }

    [Fact]
    public async Task Context_that_the_server_has_not_is_named()
    {
        NbdException error = await Assert.ThrowsAsync<NbdException>(() => RunAsync(
            extended: true, peer => peer.ExpectEnd(), Size, two: false, null, target => NbdQuery.MapAsync(target, "disk", "x:none", _ => { })));
        Assert.Contains("\"x:none\"", error.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<NbdException>(() => NbdQuery.MapAsync(new UnixTarget("/nonexistent"), "disk", "none", _ => { }));
    }

    private static byte[] Violation(string what, bool extended, NbdExtendedRequestHeader request)
    {
        NbdReplyType type = StatusType(extended);
        byte[] status = Extents(extended, 7, new NbdBlockExtent(Size, 0));
        byte[] Whole(byte[] payload, bool done = true) => Chunk(request, extended, type, done, payload);
        return what switch
        {
            "zero length" => Status(request, extended, new NbdBlockExtent(0, 0)),
            "zero length later" => Status(request, extended, new(512, 0), new(0, 0)),
            "past the request, then more" => Status(request, extended, new(Size, 0), new(512, 0)),
            "unknown context" => Whole(Extents(extended, 9, new NbdBlockExtent(Size, 0))),
            "context twice" => [.. Whole(status, done: false), .. Whole(status)],
            "context missing" => Whole(status),
            "no chunk at all" => Chunk(request, extended, NbdReplyType.None, done: true, []),
            "half an extent" => Whole([.. status, 0, 0, 0, 1]),
            "no extent" => Whole(status[..NbdBlockStatusChunk.HeaderSize(extended)]),
            "too many extents" => Chunk(
                request,
                extended,
                type,
                done: true,
                status,
                (ulong)(NbdBlockStatusChunk.HeaderSize(extended) + (((1 << 20) + 1) * NbdBlockStatusChunk.DescriptorSize(extended)))),
            "other kind of chunk" => Chunk(request, extended, StatusType(!extended), done: true, Extents(!extended, 7, new NbdBlockExtent(Size, 0))),
            "data for status" => Chunk(request, extended, NbdReplyType.OffsetData, done: true, new byte[16]),
            "none with payload" => Chunk(request, extended, NbdReplyType.None, done: true, new byte[4]),
            "none that is not last" => Chunk(request, extended, NbdReplyType.None, done: false, []),
            "wrong cookie" => Status(request with { Cookie = request.Cookie + 1 }, extended, new NbdBlockExtent(Size, 0)),
            "wrong magic" => [0, .. Whole(status)[1..]],
            "huge error text" => Chunk(request, extended, NbdReplyType.Error, done: true, [], 1 << 20),
            "error zero" => Chunk(request, extended, NbdReplyType.Error, done: true, new byte[6]),
            "wrong offset" => Status(request with { Offset = 512 }, extended, new NbdBlockExtent(Size, 0)),
            "wrong count" => Whole([0, 0, 0, 7, 0, 0, 0, 2, .. status[8..]]),
            "wide status" => Status(request, extended, new NbdBlockExtent(Size, 1UL << 32)),
            _ => SimpleReply(request.Cookie),
        };
    }

    private static byte[] SimpleReply(ulong cookie)
    {
        byte[] reply = new byte[NbdSimpleReplyHeader.Size + 16];
        NbdSimpleReplyHeader.Write(reply, 0, cookie);
        return reply;
    }
}
