using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

public class RequestWireTests
{
    [Theory]
    [InlineData(BlockOperation.Read, BlockRequestFlags.None, "25609513 0000 0000")]
    [InlineData(BlockOperation.Write, BlockRequestFlags.None, "25609513 0000 0001")]
    [InlineData(BlockOperation.Write, BlockRequestFlags.Fua, "25609513 0001 0001")]
    [InlineData(BlockOperation.Trim, BlockRequestFlags.None, "25609513 0000 0004")]
    [InlineData(BlockOperation.Trim, BlockRequestFlags.Fua, "25609513 0001 0004")]
    [InlineData(BlockOperation.Cache, BlockRequestFlags.None, "25609513 0000 0005")]
    [InlineData(BlockOperation.WriteZeroes, BlockRequestFlags.None, "25609513 0000 0006")]
    [InlineData(BlockOperation.WriteZeroes, BlockRequestFlags.Fua, "25609513 0001 0006")]
    [InlineData(BlockOperation.WriteZeroes, BlockRequestFlags.NoHole, "25609513 0002 0006")]
    [InlineData(BlockOperation.WriteZeroes, BlockRequestFlags.FastZero, "25609513 0010 0006")]
    [InlineData(BlockOperation.WriteZeroes, BlockRequestFlags.Fua | BlockRequestFlags.NoHole | BlockRequestFlags.FastZero, "25609513 0013 0006")]
    public async Task Request_is_on_the_wire_byte_for_byte(BlockOperation operation, BlockRequestFlags flags, string start)
    {
        // Rules 3, 57, 73, 75, 76: big-endian, documented flags only.
        await using var harness = new ConnectionHarness();
        BlockRequest request = harness.Submit(operation, 0x1122334455667000, 0x1000, flags);
        byte[] bytes = harness.Receive(NbdRequestHeader.Size);
        Assert.Equal(GoldenFrame.Hex(start), bytes[..8]);
        Assert.Equal(GoldenFrame.Hex("1122334455667000 00001000"), bytes[16..]);
        if (operation == BlockOperation.Write)
        {
            PatternData.AssertEqual(PatternData.Create(7, request.Offset, 0x1000), harness.Receive(0x1000));
        }
    }

    [Fact]
    public async Task Flush_has_neither_offset_nor_length()
    {
        // Rule 69.
        await using var harness = new ConnectionHarness();
        harness.Submit(BlockOperation.Flush);
        byte[] bytes = harness.Receive(NbdRequestHeader.Size);
        Assert.Equal(GoldenFrame.Hex("25609513 0000 0003"), bytes[..8]);
        Assert.All(bytes[16..], b => Assert.Equal(0, b));
    }

    [Fact]
    public async Task Cookies_of_requests_in_flight_are_distinct_also_when_slots_are_used_again()
    {
        // Rule 55.
        await using var harness = new ConnectionHarness();
        HashSet<ulong> cookies = [];
        for (int round = 0; round < 50; round++)
        {
            BlockRequest[] requests = [.. Enumerable.Range(0, 8).Select(_ => harness.Submit(BlockOperation.Flush))];
            foreach (BlockRequest request in requests)
            {
                ulong cookie = harness.NextCookie();
                Assert.True(cookies.Add(cookie));
                harness.Send(Reply.Simple(cookie));
                await harness.AssertSucceeds(request);
            }
        }
    }

    [Fact]
    public async Task Large_writes_survive_partial_sends()
    {
        await using var harness = new ConnectionHarness(sendBuffer: 4096);
        BlockRequest[] writes = [.. Enumerable.Range(0, 20).Select(i => harness.Make(BlockOperation.Write, i * 100_000, 100_000))];
        harness.Submit(writes);
        List<ulong> cookies = [];
        foreach (BlockRequest write in writes)
        {
            NbdRequestHeader header = harness.NextRequest();
            Assert.Equal((ulong)write.Offset, header.Offset);
            cookies.Add(header.Cookie);
            PatternData.AssertEqual(PatternData.Create(7, write.Offset, 100_000), harness.Receive(100_000), write.Offset);
        }

        cookies.Reverse();
        harness.Send([.. cookies.Select(cookie => Reply.Simple(cookie))]);
        foreach (BlockRequest write in writes)
        {
            await harness.AssertSucceeds(write);
        }
    }

    [Fact]
    public async Task More_requests_than_slots_wait_and_all_end()
    {
        await using var harness = new ConnectionHarness();
        BlockRequest[] requests = [.. Enumerable.Range(0, 3000).Select(i => harness.Make(BlockOperation.Read, i * 512, 16))];
        harness.Submit(requests);
        foreach (BlockRequest request in requests)
        {
            NbdRequestHeader header = harness.NextRequest();
            Assert.Equal((ulong)request.Offset, header.Offset);
            harness.Send(Reply.Pattern(header.Cookie, request.Offset, 16, done: true));
        }

        foreach (BlockRequest request in requests)
        {
            await harness.AssertSucceeds(request);
        }

        Assert.Equal(3000, harness.Endings);
        Assert.Equal(3000, harness.Connection.Requests);
    }

    [Fact]
    public async Task Request_that_is_abandoned_before_it_is_sent_is_withdrawn()
    {
        await using var harness = new ConnectionHarness();
        BlockRequest withdrawn = harness.Make(BlockOperation.Read, 0, 512);
        withdrawn.IsAbandoned = true;
        BlockRequest sent = harness.Make(BlockOperation.Read, 4096, 512);
        harness.Submit(withdrawn, sent);
        Assert.Equal(BlockErrno.EINTR, await harness.Ended(withdrawn));
        NbdRequestHeader header = harness.NextRequest();
        Assert.Equal(4096ul, header.Offset);
        harness.Send(Reply.Pattern(header.Cookie, 4096, 512, done: true));
        await harness.AssertSucceeds(sent);
    }

    [Fact]
    public async Task Disconnect_sends_DISC_and_nothing_after_it()
    {
        // Rules 82, 84.
        await using var harness = new ConnectionHarness();
        await harness.OnLoop(harness.Connection.Disconnect);
        NbdRequestHeader header = harness.NextRequest();
        Assert.Equal(new NbdRequestHeader(0, NbdCommand.Disc, header.Cookie, 0, 0), header);
        harness.ExpectHangUp();
        BlockRequest late = harness.Submit(BlockOperation.Flush);
        Assert.Equal(BlockErrno.EIO, await harness.Ended(late));
    }

    [Fact]
    public async Task Giving_up_ends_what_is_in_flight_and_still_says_DISC()
    {
        // Rule 84.
        await using var harness = new ConnectionHarness();
        BlockRequest request = harness.Read(0, 512);
        harness.NextRequest();
        await harness.OnLoop(() => harness.Connection.GiveUp(new NbdException("enough")));
        Assert.Equal(BlockErrno.EIO, await harness.Ended(request));
        Assert.Equal(NbdCommand.Disc, harness.NextRequest().Command);
        harness.ExpectHangUp();
    }

    [Fact]
    public async Task Giving_up_in_the_middle_of_a_write_sends_no_DISC_into_its_payload()
    {
        await using var harness = new ConnectionHarness(sendBuffer: 4096);
        BlockRequest write = harness.Submit(BlockOperation.Write, 0, 1 << 20);
        harness.NextRequest();
        await harness.OnLoop(() => harness.Connection.GiveUp(new NbdException("enough")));
        Assert.Equal(BlockErrno.EIO, await harness.Ended(write));
        byte[] rest = new byte[1 << 20];
        int total = 0;
        for (int got; (got = Posix.Recv(harness.ServerFd, rest.AsSpan(total))) > 0;)
        {
            total += got;
        }

        PatternData.AssertEqual(PatternData.Create(7, 0, total), rest.AsSpan(0, total));
    }
}
