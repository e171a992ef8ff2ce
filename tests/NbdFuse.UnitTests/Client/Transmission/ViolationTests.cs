using NbdFuse.Block;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

/// <summary>Rules 54, 62 to 66, 86: what a server must not do ends the connection, with the rule that it broke.</summary>
public class ViolationTests
{
    private const long Offset = 4096;
    private const int Length = 1000;

    private static readonly Dictionary<string, (string Rule, Func<ulong, byte[][]> Replies)> Cases = new()
    {
        ["simple reply to READ"] = ("answered by chunks only", c => [Reply.Simple(c, 0, new byte[Length])]),
        ["simple error to READ"] = ("answered by chunks only", c => [Reply.Simple(c, 5)]),
        ["simple reply after chunks"] = ("answered by chunks only", c => [Reply.Pattern(c, Offset, 10), Reply.Simple(c)]),
        ["gap at DONE"] = ("cover all", c => [Reply.Pattern(c, Offset, 999), Reply.None(c)]),
        ["gap in the middle"] = ("cover all", c => [Reply.Pattern(c, Offset, 100), Reply.Pattern(c, Offset + 101, 899, done: true)]),
        ["gap at the start"] = ("cover all", c => [Reply.Pattern(c, Offset + 1, 999, done: true)]),
        ["short data with DONE"] = ("cover all", c => [Reply.Pattern(c, Offset, 999, done: true)]),
        ["NONE alone"] = ("cover all", c => [Reply.None(c)]),
        ["same data twice"] = ("overlap", c => [Reply.Pattern(c, Offset, 500), Reply.Pattern(c, Offset, 500)]),
        ["overlap by one byte"] = ("overlap", c => [Reply.Pattern(c, Offset, 500), Reply.Pattern(c, Offset + 499, 501)]),
        ["overlap out of order"] = ("overlap", c => [Reply.Pattern(c, Offset + 500, 500), Reply.Pattern(c, Offset, 501)]),
        ["data over a hole"] = ("overlap", c => [Reply.Hole(c, Offset, 500), Reply.Pattern(c, Offset + 10, 1)]),
        ["hole over data"] = ("overlap", c => [Reply.Pattern(c, Offset + 10, 1), Reply.Hole(c, Offset, 500)]),
        ["data of length 0"] = ("carries data", c => [Reply.Data(c, Offset, [])]),
        ["data chunk shorter than its offset"] = ("carries data", c => [Reply.Chunk(c, NbdReplyType.OffsetData, 0, new byte[7])]),
        ["data before the READ"] = ("inside its READ", c => [Reply.Pattern(c, Offset - 1, 1)]),
        ["data that begins before the READ"] = ("inside its READ", c => [Reply.Pattern(c, Offset - 1, 2)]),
        ["data past the READ"] = ("inside its READ", c => [Reply.Pattern(c, Offset, Length + 1, done: true)]),
        ["data behind the READ"] = ("inside its READ", c => [Reply.Pattern(c, Offset + Length, 1)]),
        ["data at the end of the numbers"] = ("inside its READ", c => [Reply.Data(c, -1, new byte[8])]),
        ["4 GiB of data"] = ("inside its READ", c => [Reply.Chunk(c, NbdReplyType.OffsetData, 1, [0, 0, 0, 0, 0, 0, 0x10, 0], 0xffffffff)]),
        ["hole of length 0"] = ("hole is not empty", c => [Reply.Hole(c, Offset, 0)]),
        ["hole past the READ"] = ("inside its READ", c => [Reply.Hole(c, Offset, Length + 1)]),
        ["hole of 4 GiB"] = ("inside its READ", c => [Reply.Hole(c, Offset, 0xffffffff)]),
        ["hole before the READ"] = ("inside its READ", c => [Reply.Hole(c, 0, 10)]),
        ["hole at the end of the numbers"] = ("inside its READ", c => [Reply.Hole(c, long.MinValue, 10)]),
        ["hole chunk of 11 bytes"] = ("length 12", c => [Reply.Chunk(c, NbdReplyType.OffsetHole, 0, new byte[11])]),
        ["hole chunk of 13 bytes"] = ("length 12", c => [Reply.Chunk(c, NbdReplyType.OffsetHole, 0, new byte[13])]),
        ["NONE without DONE"] = ("NONE chunk", c => [Reply.None(c, done: false)]),
        ["NONE with a payload"] = ("NONE chunk", c => [Reply.Chunk(c, NbdReplyType.None, 1, new byte[4])]),
        ["unknown type without bit 15"] = ("type that is defined", c => [Reply.Chunk(c, (NbdReplyType)3, 1, new byte[4])]),
        ["block status that nobody asked for"] = ("type that is defined", c => [Reply.Chunk(c, NbdReplyType.BlockStatus, 1, new byte[12])]),
        ["error 0"] = ("names an error", c => [Reply.Error(c, 0)]),
        ["error chunk of 5 bytes"] = ("error and a message", c => [Reply.Chunk(c, NbdReplyType.Error, 1, new byte[5])]),
        ["error chunk of 0 bytes"] = ("error and a message", c => [Reply.Chunk(c, NbdReplyType.Error, 1, [])]),
        ["unknown error chunk of 0 bytes"] = ("error and a message", c => [Reply.Chunk(c, (NbdReplyType)0xffff, 1, [])]),
        ["error message longer than its chunk"] = ("error and a message", c => [Reply.Chunk(c, NbdReplyType.Error, 1, [0, 0, 0, 5, 0, 9, 65])]),
        ["error message of 64 KiB"] = ("at most 4096", c => [Reply.Chunk(c, NbdReplyType.Error, 1, [0, 0, 0, 5, 255, 255, .. new byte[65535]])]),
        ["error chunk of 4 GiB"] = ("at most 4096", c => [Reply.Chunk(c, NbdReplyType.Error, 1, [0, 0, 0, 5, 0, 0], 0xffffffff)]),
        ["error offset before the READ"] = ("offset of an error", c => [Reply.ErrorOffset(c, 5, Offset - 1)]),
        ["error offset behind the READ"] = ("offset of an error", c => [Reply.ErrorOffset(c, 5, Offset + Length)]),
        ["error offset without its offset"] = ("error and a message", c => [Reply.Chunk(c, NbdReplyType.ErrorOffset, 1, [0, 0, 0, 5, 0, 0])]),
        ["unknown cookie"] = ("names a command in flight", c => [Reply.None(c + 2)]),
        ["cookie of another use of the slot"] = ("names a command in flight", c => [Reply.None(c + (1UL << 32))]),
        ["cookie of all ones"] = ("names a command in flight", _ => [Reply.Simple(ulong.MaxValue)]),
        ["second reply"] = ("names a command in flight", c => [Reply.Pattern(c, Offset, Length, done: true), Reply.None(c)]),
        ["wrong magic"] = ("starts with its magic", _ => [new byte[16]]),
        ["extended reply"] = ("starts with its magic", _ => [[0x6e, 0x8a, 0x27, 0x8c, .. new byte[28]]]),
        ["magic of a request"] = ("starts with its magic", _ => [[0x25, 0x60, 0x95, 0x13, .. new byte[24]]]),
        ["flood of zeroes"] = ("starts with its magic", _ => [new byte[8 << 20]]),
        ["single bytes with gaps"] = ("overlap", c => [.. Enumerable.Range(0, 500).Select(i => Reply.Pattern(c, Offset + (2 * i), 1))]),
    };

    public static TheoryData<string> Names { get; } = [.. Cases.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Violation_ends_the_connection_and_names_the_rule(string name)
    {
        (string rule, Func<ulong, byte[][]> replies) = Cases[name];
        await using var harness = new ConnectionHarness();
        BlockRequest read = harness.Read(Offset, Length);
        BlockRequest other = harness.Submit(BlockOperation.Flush);
        ulong cookie = harness.NextCookie();
        harness.NextCookie();
        harness.Send(replies(cookie));
        if (name == "second reply")
        {
            await harness.AssertSucceeds(read);
            await harness.AssertViolation(rule, other);
        }
        else
        {
            await harness.AssertViolation(rule, read, other);
        }

        Assert.Equal(2, harness.Endings);
        BlockRequest late = harness.Submit(BlockOperation.Flush);
        Assert.Equal(BlockErrno.EIO, await harness.Ended(late));
    }

    [Fact]
    public async Task Data_chunk_for_another_command_than_READ_is_a_violation()
    {
        await using var harness = new ConnectionHarness();
        BlockRequest trim = harness.Submit(BlockOperation.Trim, 0, 512);
        harness.Send(Reply.Pattern(harness.NextCookie(), 0, 512, done: true));
        await harness.AssertViolation("type that is defined", trim);
    }

    [Fact]
    public async Task Structured_reply_that_was_not_negotiated_is_a_violation()
    {
        await using var harness = new ConnectionHarness(structured: false);
        BlockRequest flush = harness.Submit(BlockOperation.Flush);
        harness.Send(Reply.None(harness.NextCookie()));
        await harness.AssertViolation("starts with its magic", flush);
    }

    [Fact]
    public async Task Reply_to_an_older_use_of_the_slot_is_a_violation()
    {
        await using var harness = new ConnectionHarness();
        BlockRequest first = harness.Submit(BlockOperation.Flush);
        ulong stale = harness.NextCookie();
        harness.Send(Reply.Simple(stale));
        await harness.AssertSucceeds(first);
        BlockRequest second = harness.Submit(BlockOperation.Flush);
        harness.NextCookie();
        harness.Send(Reply.Simple(stale));
        await harness.AssertViolation("names a command in flight", second);
    }

    [Fact]
    public async Task Reply_to_a_command_that_was_sent_only_in_part_is_a_violation()
    {
        // Otherwise header and payload would be used again while the send still reads them.
        await using var harness = new ConnectionHarness(sendBuffer: 4096);
        BlockRequest write = harness.Submit(BlockOperation.Write, 0, 1 << 20);
        harness.Send(Reply.Simple(harness.NextCookie()));
        await harness.AssertViolation("names a command in flight", write);
    }

    [Fact]
    public async Task Reply_to_a_command_that_still_waits_to_be_sent_is_a_violation()
    {
        await using var harness = new ConnectionHarness(sendBuffer: 4096);
        BlockRequest write = harness.Make(BlockOperation.Write, 0, 1 << 20);
        BlockRequest flush = harness.Make(BlockOperation.Flush);
        harness.Submit(write, flush);
        harness.NextCookie();
        harness.Send(Reply.Simple((1UL << 32) | 1));
        await harness.AssertViolation("names a command in flight", write, flush);
    }
}
