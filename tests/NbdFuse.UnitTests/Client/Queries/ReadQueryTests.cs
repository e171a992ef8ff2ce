using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Client.Handshake;
using Xunit;
using static NbdFuse.UnitTests.Client.Queries.QueryPeer;

namespace NbdFuse.UnitTests.Client.Queries;

/// <summary>The first bytes of an export.</summary>
public sealed class ReadQueryTests
{
    [Theory]
    [InlineData(false, 1)]
    [InlineData(true, 1)]
    [InlineData(true, int.MaxValue)]
    public async Task Start_is_put_together_from_pieces_out_of_order(bool extended, int writeSize)
    {
        byte[] content = PatternData.Create(3, 0, 1000);
        content.AsSpan(300, 200).Clear();
        byte[] start = await ReadAsync(extended, peer =>
        {
            peer.WriteSize = writeSize;
            NbdExtendedRequestHeader request = ReadRequest(peer, extended);
            Assert.Equal((NbdCommand.Read, 0UL, 1000UL), (request.Command, request.Offset, request.Length));
            peer.Send(Data(request, extended, 500, content[500..]));
            peer.Send(Chunk(request, extended, NbdReplyType.OffsetHole, done: false, [0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0, 200]));
            peer.Send(Data(request, extended, 0, content[..300]));
            peer.Send(Chunk(request, extended, NbdReplyType.None, done: true, []));
            ExpectGoodbye(peer, extended);
        });
        Assert.Equal(content, start);
    }

    [Theory]
    [InlineData("gap", "cover all")]
    [InlineData("overlap", "overlaps no other")]
    [InlineData("past the end", "lies inside")]
    [InlineData("far away", "lies inside")]
    [InlineData("empty data", "is not empty")]
    [InlineData("empty hole", "is not empty")]
    [InlineData("status", "defined for its command")]
    public async Task Rule62_Wrong_pieces_end_the_query_with_the_rule(string what, string rule)
    {
        foreach (bool extended in new[] { false, true })
        {
            NbdProtocolException error = await Assert.ThrowsAsync<NbdProtocolException>(() => ReadAsync(extended, peer =>
            {
                NbdExtendedRequestHeader request = ReadRequest(peer, extended);
                byte[] piece = what switch
                {
                    "gap" => Data(request, extended, 0, new byte[999]),
                    "overlap" => [.. Data(request, extended, 0, new byte[600]), .. Data(request, extended, 599, new byte[401])],
                    "past the end" => Data(request, extended, 900, new byte[101]),
                    "far away" => Data(request, extended, ulong.MaxValue, new byte[10]),
                    "empty data" => Data(request, extended, 0, []),
                    "empty hole" => Chunk(request, extended, NbdReplyType.OffsetHole, done: false, new byte[12]),
                    _ => Status(request, extended, new NbdBlockExtent(1000, 0)),
                };
                _ = peer.TrySend([.. piece, .. Chunk(request, extended, NbdReplyType.None, done: true, [])]);
                peer.Close();
            }));
            Assert.Contains(rule, error.Rule, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Start_ends_with_the_export_and_is_read_in_whole_blocks()
    {
        byte[] start = await RunAsync(
            extended: true,
            peer =>
            {
                NbdExtendedRequestHeader request = ReadRequest(peer, extended: true);
                Assert.Equal(4096UL, request.Length);
                peer.Send(Data(request, extended: true, 0, PatternData.Create(3, 0, 4096)));
                peer.Send(Chunk(request, extended: true, NbdReplyType.None, done: true, []));
                ExpectGoodbye(peer, extended: true);
            },
            5000,
            two: false,
            new(4096, 4096, 65536),
            target => NbdQuery.ReadStartAsync(target, "disk", 1000));
        Assert.Equal(PatternData.Create(3, 0, 1000), start);
    }

    private static Task<byte[]> ReadAsync(bool extended, Action<ScriptedPeer> script) =>
        RunAsync(extended, script, Size, two: false, null, target => NbdQuery.ReadStartAsync(target, "disk", 1000));

    private static byte[] Data(NbdExtendedRequestHeader request, bool extended, ulong offset, byte[] data)
    {
        byte[] head = new byte[NbdOffsetDataChunk.Size];
        NbdOffsetDataChunk.Write(head, offset);
        return Chunk(request, extended, NbdReplyType.OffsetData, done: false, [.. head, .. data]);
    }
}
