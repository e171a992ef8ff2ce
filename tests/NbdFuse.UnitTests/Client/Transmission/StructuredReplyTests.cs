using NbdFuse.Block;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

public class StructuredReplyTests
{
    [Fact]
    public async Task Chunks_of_a_read_are_put_together_by_offset_in_any_order()
    {
        // Rule 62.
        await using var harness = new ConnectionHarness();
        foreach (int[] order in new int[][] { [0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [0, 2, 1, 3] })
        {
            BlockRequest read = harness.Read(1000, 400);
            ulong cookie = harness.NextCookie();
            harness.Send([.. order.Select((piece, i) => Reply.Pattern(cookie, 1000 + (piece * 100), 100, done: i == 3))]);
            await harness.AssertSucceeds(read);
        }
    }

    [Fact]
    public async Task Chunks_of_several_reads_may_be_interleaved()
    {
        // Rule 55.
        await using var harness = new ConnectionHarness();
        BlockRequest[] reads = [.. Enumerable.Range(0, 5).Select(i => harness.Read(i * 100_000, 80_000))];
        ulong[] cookies = [.. reads.Select(_ => harness.NextCookie())];
        for (int piece = 0; piece < 8; piece++)
        {
            for (int i = 0; i < reads.Length; i++)
            {
                harness.Send(Reply.Pattern(cookies[i], (i * 100_000) + (piece * 10_000), 10_000));
            }
        }

        harness.Send([.. cookies.Reverse().Select(cookie => Reply.None(cookie))]);
        foreach (BlockRequest read in reads)
        {
            await harness.AssertSucceeds(read);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Holes_are_filled_with_zeroes(bool done)
    {
        // Rule 63.
        await using var harness = new ConnectionHarness();
        BlockRequest read = harness.Read(4096, 3000);
        read.Buffer.Span.Fill(0xaa);
        ulong cookie = harness.NextCookie();
        harness.Send(Reply.Pattern(cookie, 5096, 1000), Reply.Hole(cookie, 6096, 1000), Reply.Hole(cookie, 4096, 1000, done));
        if (!done)
        {
            harness.Send(Reply.None(cookie));
        }

        Assert.Equal(0, await harness.Ended(read));
        PatternData.AssertZero(read.Buffer.Span[..1000]);
        PatternData.AssertEqual(PatternData.Create(7, 5096, 1000), read.Buffer.Span[1000..2000]);
        PatternData.AssertZero(read.Buffer.Span[2000..]);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task Error_chunk_fails_the_read_whatever_else_comes(bool dataBefore, bool dataAfter)
    {
        // Rule 64: chunks may follow an error until DONE; no data of the reply counts.
        await using var harness = new ConnectionHarness();
        BlockRequest read = harness.Read(0, 512);
        ulong cookie = harness.NextCookie();
        if (dataBefore)
        {
            harness.Send(Reply.Pattern(cookie, 0, 512));
        }

        harness.Send(Reply.Error(cookie, 28, "no", done: !dataAfter));
        if (dataAfter)
        {
            harness.Send(Reply.Pattern(cookie, 0, 512, done: true));
        }

        Assert.Equal(BlockErrno.ENOSPC, await harness.Ended(read));
        BlockRequest next = harness.Read(0, 16);
        harness.Send(Reply.Pattern(harness.NextCookie(), 0, 16, done: true));
        await harness.AssertSucceeds(next);
    }

    [Fact]
    public async Task Several_errors_with_offsets_give_the_first_one()
    {
        // Rule 64.
        await using var harness = new ConnectionHarness();
        BlockRequest read = harness.Read(4096, 512);
        ulong cookie = harness.NextCookie();
        harness.Send(
            Reply.Pattern(cookie, 4096, 100),
            Reply.ErrorOffset(cookie, 5, 4196, done: false),
            Reply.ErrorOffset(cookie, 28, 4607, done: false),
            Reply.None(cookie));
        Assert.Equal(BlockErrno.EIO, await harness.Ended(read));
    }

    [Fact]
    public async Task Unknown_error_type_fails_the_request_and_the_connection_goes_on()
    {
        // Rule 65.
        await using var harness = new ConnectionHarness();
        BlockRequest read = harness.Read(0, 512);
        harness.Send(Reply.Error(harness.NextCookie(), 12, new string('x', 4096), type: (NbdReplyType)0x8765));
        Assert.Equal(BlockErrno.ENOMEM, await harness.Ended(read));
        BlockRequest flush = harness.Submit(BlockOperation.Flush);
        harness.Send(Reply.None(harness.NextCookie()));
        await harness.AssertSucceeds(flush);
    }

    [Fact]
    public async Task Words_of_an_error_chunk_reach_the_owner()
    {
        await using var harness = new ConnectionHarness();
        BlockRequest read = harness.Read(0, 512);
        harness.Send(Reply.Error(harness.NextCookie(), 5, "bad block 7"));
        Assert.Equal(BlockErrno.EIO, await harness.Ended(read));
        Assert.Equal((BlockErrno.EIO, "bad block 7"), Assert.Single(harness.ErrorTexts));
    }

    [Fact]
    public async Task Unknown_reply_flags_are_ignored()
    {
        // Rule 67.
        await using var harness = new ConnectionHarness();
        BlockRequest flush = harness.Submit(BlockOperation.Flush);
        harness.Send(Reply.Chunk(harness.NextCookie(), NbdReplyType.None, 0xffff, []));
        await harness.AssertSucceeds(flush);
    }

    [Fact]
    public async Task Commands_other_than_READ_are_answered_by_NONE_or_error()
    {
        // Rule 61.
        await using var harness = new ConnectionHarness();
        BlockRequest trim = harness.Submit(BlockOperation.Trim, 4096, 512);
        BlockRequest zeroes = harness.Submit(BlockOperation.WriteZeroes, 4096, 512);
        BlockRequest flush = harness.Submit(BlockOperation.Flush);
        harness.Send(
            Reply.None(harness.NextCookie()),
            Reply.ErrorOffset(harness.NextCookie(), 28, 4100),
            Reply.Error(harness.NextCookie(), 5));
        await harness.AssertSucceeds(trim);
        Assert.Equal(BlockErrno.ENOSPC, await harness.Ended(zeroes));
        Assert.Equal(BlockErrno.EIO, await harness.Ended(flush));
    }

    [Fact]
    public async Task Read_in_many_scattered_pieces_succeeds()
    {
        // Every second block of 512 first, then the rest: the worst that a server with 512-byte blocks can do.
        await using var harness = new ConnectionHarness();
        BlockRequest read = harness.Read(0, 256 * 1024);
        ulong cookie = harness.NextCookie();
        for (int i = 0; i < 512; i += 2)
        {
            harness.Send(Reply.Pattern(cookie, i * 512, 512));
        }

        for (int i = 1; i < 512; i += 2)
        {
            harness.Send(Reply.Pattern(cookie, i * 512, 512));
        }

        harness.Send(Reply.None(cookie));
        await harness.AssertSucceeds(read);
    }
}
