using NbdFuse.Block;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

public class PayloadSinkTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Small_read_is_delivered_from_where_it_arrived(bool structured)
    {
        await using var harness = new ConnectionHarness(structured);
        var sink = new FakeSink();
        BlockRequest[] reads = [.. Enumerable.Range(0, 20).Select(i => harness.Make(BlockOperation.Read, i * 4096, 4096, sink: sink))];
        harness.Submit(reads);
        byte[][] replies = [.. reads.Select(read => Answer(structured, harness.NextCookie(), read))];
        harness.Send(WireData.Concat(replies));
        foreach (BlockRequest read in reads)
        {
            Assert.Equal(0, await harness.Ended(read));
            Assert.True(read.IsDelivered);
            PatternData.AssertZero(read.Buffer.Span);
            PatternData.AssertEqual(PatternData.Create(7, read.Offset, 4096), sink.Delivered[read.Tag], read.Offset);
        }

        Assert.Equal(20, sink.Delivered.Count);
    }

    [Fact]
    public async Task Payload_goes_to_the_buffer_when_the_front_end_refuses_or_needs_more_room()
    {
        await using var harness = new ConnectionHarness();
        foreach (FakeSink sink in new[] { new FakeSink { Refuses = true }, new FakeSink { HeaderRoom = 64 } })
        {
            BlockRequest read = harness.Read(0, 512, sink);
            harness.Send(Reply.Pattern(harness.NextCookie(), 0, 512, done: true));
            await harness.AssertSucceeds(read);
            Assert.False(read.IsDelivered);
            Assert.Empty(sink.Delivered);
        }
    }

    [Fact]
    public async Task Read_in_several_chunks_or_with_an_error_is_never_delivered()
    {
        await using var harness = new ConnectionHarness();
        var sink = new FakeSink();
        BlockRequest read = harness.Read(0, 512, sink);
        ulong cookie = harness.NextCookie();
        harness.Send(Reply.Pattern(cookie, 0, 256), Reply.Pattern(cookie, 256, 256, done: true));
        await harness.AssertSucceeds(read);
        BlockRequest failing = harness.Read(0, 512, sink);
        cookie = harness.NextCookie();
        harness.Send(Reply.Error(cookie, 5, done: false), Reply.Pattern(cookie, 0, 512, done: true));
        Assert.Equal(BlockErrno.EIO, await harness.Ended(failing));
        Assert.Empty(sink.Delivered);
        Assert.False(read.IsDelivered || failing.IsDelivered);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Large_reads_of_a_mover_go_through_a_pipe(bool structured)
    {
        await using var harness = new ConnectionHarness(structured, splice: true);
        var sink = new FakeSink();
        for (int i = 0; i < 5; i++)
        {
            BlockRequest read = harness.Read(i * 100_000, 100_000, sink);
            harness.Send(Answer(structured, harness.NextCookie(), read));
            Assert.Equal(0, await harness.Ended(read));
            Assert.True(read.IsDelivered);
            PatternData.AssertEqual(PatternData.Create(7, read.Offset, 100_000), sink.Piped[i], read.Offset);
        }
    }

    [Fact]
    public async Task Payload_in_tiny_segments_that_fill_the_pipe_is_finished_in_memory()
    {
        // Each segment takes a slot of the pipe, of which there are fewer than bytes.
        await using var harness = new ConnectionHarness(splice: true);
        var sink = new FakeSink();
        BlockRequest read = harness.Read(0, 100_000, sink);
        BlockRequest next = harness.Read(200_000, 100_000, sink);
        ulong cookie = harness.NextCookie();
        byte[] reply = Reply.Pattern(cookie, 0, 100_000, done: true);
        harness.Send(reply[..28]);
        for (int i = 28; i < 2000; i++)
        {
            harness.Send(reply[i..(i + 1)]);
        }

        harness.Send(reply[2000..]);
        await harness.AssertSucceeds(read);
        Assert.False(read.IsDelivered);
        Assert.Empty(sink.Piped);
        Assert.Equal(1, sink.BufferOffers);

        // The pipe is empty again and of use.
        harness.Send(Reply.Pattern(harness.NextCookie(), 200_000, 100_000, done: true));
        Assert.Equal(0, await harness.Ended(next));
        PatternData.AssertEqual(PatternData.Create(7, 200_000, 100_000), Assert.Single(sink.Piped), 200_000);
    }

    [Fact]
    public async Task Complete_pipe_that_the_front_end_refuses_goes_to_the_buffer()
    {
        await using var harness = new ConnectionHarness(splice: true);
        var sink = new FakeSink { RefusesPipe = true };
        for (int i = 0; i < 2; i++)
        {
            BlockRequest read = harness.Read(0, 100_000, sink);
            harness.Send(Reply.Pattern(harness.NextCookie(), 0, 100_000, done: true));
            await harness.AssertSucceeds(read);
            Assert.False(read.IsDelivered);
        }
    }

    [Fact]
    public async Task Read_that_is_abandoned_while_it_moves_is_drained()
    {
        await using var harness = new ConnectionHarness(splice: true);
        var sink = new FakeSink();
        BlockRequest read = harness.Read(0, 100_000, sink);
        byte[] reply = Reply.Pattern(harness.NextCookie(), 0, 100_000, done: true);
        harness.Send(reply[..50_000]);
        await harness.OnLoop(() => read.IsAbandoned = true);
        harness.Send(reply[50_000..]);
        await harness.AssertSucceeds(read);
        Assert.Empty(sink.Piped);
        Assert.False(read.IsDelivered);
    }

    [Fact]
    public async Task Server_that_hangs_up_while_a_payload_moves_fails_the_read()
    {
        await using var harness = new ConnectionHarness(splice: true);
        BlockRequest read = harness.Read(0, 100_000, new FakeSink());
        harness.Send(Reply.Pattern(harness.NextCookie(), 0, 100_000, done: true)[..50_000]);
        harness.HangUp();
        await harness.Failure();
        Assert.Equal(BlockErrno.EIO, await harness.Ended(read));
    }

    [Fact]
    public async Task Large_and_small_reads_mix_on_a_mover()
    {
        await using var harness = new ConnectionHarness(splice: true);
        var sink = new FakeSink();
        BlockRequest[] reads = [.. Enumerable.Range(0, 60).Select(i =>
            harness.Make(BlockOperation.Read, i * 100_000, i % 3 == 0 ? 100_000 : 4096, sink: i % 2 == 0 ? sink : null))];
        harness.Submit(reads);
        byte[][] replies = [.. reads.Select(read => Answer(true, harness.NextCookie(), read)).Reverse()];
        harness.Send(WireData.Concat(replies));
        foreach (BlockRequest read in reads)
        {
            Assert.Equal(0, await harness.Ended(read));
            if (!read.IsDelivered)
            {
                await harness.AssertSucceeds(read);
            }
        }

        HashSet<long> taken = [.. reads.Where(read => read.IsDelivered).Select(read => read.Length)];
        Assert.All(sink.Delivered, data => Assert.Contains(data.Length, taken));
        Assert.Equal(reads.Count(read => read.IsDelivered), sink.Delivered.Count + sink.Piped.Count);
    }

    private static byte[] Answer(bool structured, ulong cookie, BlockRequest read) => structured
        ? Reply.Pattern(cookie, read.Offset, (int)read.Length, done: true)
        : Reply.Simple(cookie, 0, PatternData.Create(7, read.Offset, (int)read.Length));
}
