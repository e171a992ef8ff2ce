using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

public class EndingTests
{
    [Fact]
    public async Task ESHUTDOWN_lets_what_is_in_flight_finish_and_then_disconnects()
    {
        // Rule 83.
        await using var harness = new ConnectionHarness();
        BlockRequest read = harness.Read(0, 512);
        BlockRequest told = harness.Submit(BlockOperation.Flush);
        ulong cookie = harness.NextCookie();
        harness.Send(Reply.Simple(harness.NextCookie(), 108));
        Assert.Equal(BlockErrno.ESHUTDOWN, await harness.Ended(told));
        await Deadline.Within(harness.Shutdown, "the owner to be told");
        BlockRequest late = harness.Submit(BlockOperation.Flush);
        Assert.Equal(BlockErrno.ESHUTDOWN, await harness.Ended(late));
        harness.Send(Reply.Pattern(cookie, 0, 512, done: true));
        await harness.AssertSucceeds(read);
        Assert.Equal(NbdCommand.Disc, harness.NextRequest().Command);
        harness.ExpectHangUp();
    }

    [Fact]
    public async Task ESHUTDOWN_in_a_chunk_counts_as_well()
    {
        await using var harness = new ConnectionHarness();
        BlockRequest read = harness.Read(0, 512);
        harness.Send(Reply.Error(harness.NextCookie(), 108));
        Assert.Equal(BlockErrno.ESHUTDOWN, await harness.Ended(read));
        Assert.Equal(NbdCommand.Disc, harness.NextRequest().Command);
        harness.ExpectHangUp();
    }

    [Fact]
    public async Task ESHUTDOWN_ends_everything_that_still_waits_to_be_sent()
    {
        // More than the table holds: the rest must not wait for ever.
        await using var harness = new ConnectionHarness();
        BlockRequest[] requests = [.. Enumerable.Range(0, 4000).Select(_ => harness.Make(BlockOperation.Flush))];
        harness.Submit(requests);
        List<ulong> cookies = [];
        for (int i = 0; i < 1024; i++)
        {
            cookies.Add(harness.NextCookie());
        }

        harness.Send([.. cookies.Select(cookie => Reply.Simple(cookie, 108))]);
        foreach (BlockRequest request in requests)
        {
            Assert.Equal(BlockErrno.ESHUTDOWN, await harness.Ended(request));
        }

        Assert.Equal(NbdCommand.Disc, harness.NextRequest().Command);
        harness.ExpectHangUp();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(10)]
    [InlineData(2000)]
    public async Task Server_that_hangs_up_fails_each_request_once_with_EIO(int count)
    {
        await using var harness = new ConnectionHarness();
        BlockRequest[] requests = [.. Enumerable.Range(0, count).Select(i => harness.Make(BlockOperation.Read, i * 512, 512))];
        harness.Submit(requests);
        for (int i = 0; i < Math.Min(count, 1024); i++)
        {
            harness.NextCookie();
        }

        harness.HangUp();
        Assert.IsType<NbdDisconnectedException>(await harness.Failure());
        foreach (BlockRequest request in requests)
        {
            Assert.Equal(BlockErrno.EIO, await harness.Ended(request));
        }

        Assert.Equal(count, harness.Endings);
    }

    [Fact]
    public async Task Server_that_hangs_up_inside_a_payload_fails_the_read()
    {
        foreach (int length in new[] { 1000, 100_000 })
        {
            await using var harness = new ConnectionHarness();
            BlockRequest read = harness.Read(0, length);
            harness.Send(Reply.Pattern(harness.NextCookie(), 0, length, done: true)[..^1]);
            harness.HangUp();
            Assert.IsType<NbdDisconnectedException>(await harness.Failure());
            Assert.Equal(BlockErrno.EIO, await harness.Ended(read));
        }
    }

    [Fact]
    public async Task First_reason_to_fail_wins()
    {
        await using var harness = new ConnectionHarness();
        var first = new NbdException("first");
        await harness.OnLoop(() =>
        {
            harness.Connection.Fail(first);
            harness.Connection.Fail(new NbdException("second"));
            harness.Connection.Disconnect();
        });
        Assert.Same(first, await harness.Failure());
        Assert.Same(first, harness.Connection.Failure);
    }

    [Theory]
    [InlineData(512)]
    [InlineData(100_000)]
    public async Task Read_that_is_abandoned_after_it_was_sent_is_drained_and_not_delivered(int length)
    {
        await using var harness = new ConnectionHarness();
        var sink = new FakeSink();
        BlockRequest read = harness.Read(0, length, sink);
        ulong cookie = harness.NextCookie();
        await harness.OnLoop(() => read.IsAbandoned = true);
        harness.Send(Reply.Pattern(cookie, 0, length, done: true));
        await harness.AssertSucceeds(read);
        Assert.Empty(sink.Delivered);
        Assert.False(read.IsDelivered);
        BlockRequest next = harness.Submit(BlockOperation.Flush);
        harness.Send(Reply.Simple(harness.NextCookie()));
        await harness.AssertSucceeds(next);
    }
}
