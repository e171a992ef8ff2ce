using NbdFuse.Block;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

/// <summary>Every way in which the bytes of replies can be cut gives the same answers.</summary>
public class FragmentationTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Structured_stream_of_small_replies_survives_every_fragmentation(bool splice)
    {
        await using var harness = new ConnectionHarness(structured: true, splice);
        await Run(harness, 60, c =>
        [
            Reply.Pattern(c[0], 0, 60, done: true),
            Reply.Pattern(c[1], 1020, 40),
            Reply.Error(c[2], 28, "full"),
            Reply.Pattern(c[1], 1000, 20),
            Reply.Simple(c[3]),
            Reply.None(c[1]),
        ]);
    }

    [Fact]
    public async Task Simple_stream_survives_every_fragmentation()
    {
        await using var harness = new ConnectionHarness(structured: false);
        await Run(harness, 60, c =>
        [
            Reply.Simple(c[1], 0, PatternData.Create(7, 1000, 60)),
            Reply.Simple(c[2], 28),
            Reply.Simple(c[0], 0, PatternData.Create(7, 0, 60)),
            Reply.Simple(c[3]),
        ]);
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, false)]
    [InlineData(true, true)]
    public async Task Large_replies_survive_every_fragmentation(bool structured, bool splice)
    {
        const int Large = 70_000;
        await using var harness = new ConnectionHarness(structured, splice);
        await Run(harness, Large, c => structured
            ?
            [
                Reply.Pattern(c[0], 0, Large, done: true),
                Reply.Error(c[2], 28),
                Reply.Pattern(c[1], 1000, 40_000),
                Reply.Simple(c[3]),
                Reply.Pattern(c[1], 41_000, Large - 40_000, done: true),
            ]
            :
            [
                Reply.Simple(c[1], 0, PatternData.Create(7, 1000, Large)),
                Reply.Simple(c[2], 28),
                Reply.Simple(c[3]),
                Reply.Simple(c[0], 0, PatternData.Create(7, 0, Large)),
            ]);
    }

    private static async Task Run(ConnectionHarness harness, int length, Func<ulong[], byte[][]> replies)
    {
        // The cuts are taken from a first stream, as all streams differ by their cookies alone.
        List<int[]> all = [.. Cuts(WireData.Concat(replies([0, 1, 2, 3])))];
        foreach (int[] cuts in all)
        {
            BlockRequest[] requests =
            [
                harness.Make(BlockOperation.Read, 0, length, sink: null),
                harness.Make(BlockOperation.Read, 1000, length, sink: null),
                harness.Make(BlockOperation.Read, 2000, length, sink: null),
                harness.Make(BlockOperation.Flush),
            ];
            harness.Submit(requests);
            byte[] stream = WireData.Concat(replies([.. requests.Select(_ => harness.NextCookie())]));
            int at = 0;
            foreach (int cut in cuts.Append(stream.Length))
            {
                harness.Send(stream[at..cut]);
                at = cut;
                if (cuts.Length == 1)
                {
                    // Only when the loop has seen the first part by itself is it a cut.
                    await harness.OnLoop(() => { });
                    await harness.OnLoop(() => { });
                }
            }

            await harness.AssertSucceeds(requests[0]);
            await harness.AssertSucceeds(requests[1]);
            Assert.Equal(BlockErrno.ENOSPC, await harness.Ended(requests[2]));
            await harness.AssertSucceeds(requests[3]);
        }
    }

    private static IEnumerable<int[]> Cuts(byte[] stream)
    {
        foreach (IReadOnlyList<byte[]> pieces in WireData.Fragmentations(stream))
        {
            List<int> cuts = [];
            int at = 0;
            foreach (byte[] piece in pieces.SkipLast(1))
            {
                at += piece.Length;
                cuts.Add(at);
            }

            // Byte by byte through 140 KB is 140 000 system calls: the first and last part is enough.
            yield return [.. cuts.Count > 5000 ? cuts.Where(cut => cut < 2000 || cut > stream.Length - 2000) : cuts];
        }
    }
}
