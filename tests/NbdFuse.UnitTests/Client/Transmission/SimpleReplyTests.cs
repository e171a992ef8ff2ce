using NbdFuse.Block;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

public class SimpleReplyTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(4096)]
    [InlineData(200_000)]
    public async Task Reads_are_answered_by_header_and_data_in_any_order(int length)
    {
        // Rules 55, 60.
        await using var harness = new ConnectionHarness(structured: false);
        BlockRequest first = harness.Read(0, length);
        BlockRequest second = harness.Read(1 << 20, length);
        ulong cookie = harness.NextCookie();
        harness.Send(Reply.Simple(harness.NextCookie(), 0, PatternData.Create(7, 1 << 20, length)));
        await harness.AssertSucceeds(second);
        harness.Send(Reply.Simple(cookie, 0, PatternData.Create(7, 0, length)));
        await harness.AssertSucceeds(first);
    }

    [Fact]
    public async Task Read_that_failed_has_no_data()
    {
        // Rule 60.
        await using var harness = new ConnectionHarness(structured: false);
        BlockRequest failing = harness.Read(0, 512);
        BlockRequest good = harness.Read(0, 512);
        harness.Send(Reply.Simple(harness.NextCookie(), 5), Reply.Simple(harness.NextCookie(), 0, PatternData.Create(7, 0, 512)));
        Assert.Equal(BlockErrno.EIO, await harness.Ended(failing));
        await harness.AssertSucceeds(good);
    }

    [Theory]
    [InlineData(1, BlockErrno.EPERM)]
    [InlineData(5, BlockErrno.EIO)]
    [InlineData(12, BlockErrno.ENOMEM)]
    [InlineData(22, BlockErrno.EINVAL)]
    [InlineData(28, BlockErrno.ENOSPC)]
    [InlineData(75, BlockErrno.EOVERFLOW)]
    [InlineData(95, BlockErrno.EOPNOTSUPP)]
    [InlineData(2, BlockErrno.EINVAL)]
    [InlineData(0xffffffff, BlockErrno.EINVAL)]
    [InlineData(0x80000005, BlockErrno.EINVAL)]
    public async Task Errors_are_mapped_and_unknown_ones_are_EINVAL_without_disconnecting(uint wire, int error)
    {
        // Rule 85.
        await using var harness = new ConnectionHarness();
        BlockRequest failing = harness.Submit(BlockOperation.Trim, 0, 512);
        harness.Send(Reply.Simple(harness.NextCookie(), wire));
        Assert.Equal(error, await harness.Ended(failing));
        BlockRequest good = harness.Submit(BlockOperation.Flush);
        harness.Send(Reply.Simple(harness.NextCookie()));
        await harness.AssertSucceeds(good);
    }

    [Theory]
    [InlineData(BlockOperation.Write)]
    [InlineData(BlockOperation.Flush)]
    [InlineData(BlockOperation.Trim)]
    [InlineData(BlockOperation.WriteZeroes)]
    [InlineData(BlockOperation.Cache)]
    public async Task Commands_other_than_READ_may_be_answered_simply_although_structured_replies_were_negotiated(BlockOperation operation)
    {
        // Rule 61.
        await using var harness = new ConnectionHarness(structured: true);
        BlockRequest request = harness.Submit(operation, 0, operation == BlockOperation.Flush ? 0 : 512);
        ulong cookie = harness.NextCookie();
        if (operation == BlockOperation.Write)
        {
            harness.Receive(512);
        }

        harness.Send(Reply.Simple(cookie));
        await harness.AssertSucceeds(request);
    }
}
