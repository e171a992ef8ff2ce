using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Block;

public class SplitLayerTests
{
    private const int Mega = 1 << 20;
    private static readonly BlockDeviceInfo Info = new()
    {
        Size = 1L << 40,
        MinimumBlock = 512,
        MaximumPayload = 4096,
        MaximumZeroes = 16 * Mega,
        CanTrim = true,
        CanWriteZeroes = true,
        CanCache = true,
        CanFua = true,
        CanFlush = true,
    };

    private readonly ReadyList _ready = new();

    [Fact]
    public void Requests_within_the_limits_pass_whole()
    {
        // Rule 51: no WRITE longer than the maximum payload.
        (DeferringDevice device, Caller caller) = Make(Info);
        caller.Submit(BlockOperation.Read, 0, 4096);
        caller.Submit(BlockOperation.Write, 0, 4096);
        caller.Submit(BlockOperation.WriteZeroes, 0, 16 * Mega);
        caller.Submit(BlockOperation.Flush);
        Assert.Equal([4096, 4096, 16 * Mega, 0], device.Seen.Select(s => s.Length));
    }

    [Fact]
    public void Long_read_is_cut_and_put_together_whatever_the_order_of_the_pieces()
    {
        (DeferringDevice device, Caller caller) = Make(Info with { Size = 64 * 1024 });
        PatternData.Fill(device.Content, 1, 0);
        BlockRequest request = caller.Submit(BlockOperation.Read, 512, 4096 * 6 + 1024);
        Assert.Equal(4, device.Held.Count);
        while (device.Held.Count > 0)
        {
            device.End(device.Held.Count - 1);
            _ready.Run();
            Assert.True(device.Held.Count <= 4);
        }

        caller.AssertEnded(request);
        Assert.Equal(7, device.Seen.Count);
        Assert.All(device.Seen, piece => Assert.True(piece.Length <= 4096));
        PatternData.AssertEqual(PatternData.Create(1, 512, request.Buffer.Length), request.Buffer.Span, 512);
    }

    [Fact]
    public void Long_write_keeps_its_flags_in_every_piece()
    {
        (DeferringDevice device, Caller caller) = Make(Info with { Size = 64 * 1024 });
        byte[] data = PatternData.Create(2, 0, 20_000 / 512 * 512);
        BlockRequest request = caller.Write(1024, data, BlockRequestFlags.Fua);
        EndAll(device);
        caller.AssertEnded(request);
        Assert.All(device.Seen, piece => Assert.Equal(BlockRequestFlags.Fua, piece.Flags));
        PatternData.AssertEqual(data, device.Content.Slice(1024, data.Length), 0);
    }

    [Fact]
    public void Error_in_the_middle_stops_further_pieces_and_is_told_when_all_have_ended()
    {
        (DeferringDevice device, Caller caller) = Make(Info);
        BlockRequest request = caller.Submit(BlockOperation.Write, 0, 4096 * 10);
        device.End(1, BlockErrno.ENOSPC);
        _ready.Run();
        Assert.Equal(3, device.Held.Count);
        device.End(0, BlockErrno.EIO);
        device.End();
        caller.AssertNotEnded(request);
        device.End();
        caller.AssertEnded(request, BlockErrno.ENOSPC);
        Assert.Equal(4, device.Seen.Count);
    }

    [Fact]
    public void Abandoned_request_sends_no_further_pieces()
    {
        (DeferringDevice device, Caller caller) = Make(Info);
        BlockRequest request = caller.Submit(BlockOperation.Write, 0, 4096 * 10);
        request.IsAbandoned = true;
        EndAll(device);
        caller.AssertEnded(request, BlockErrno.EINTR);
        Assert.Equal(4, device.Seen.Count);
    }

    [Theory]
    [InlineData(BlockOperation.WriteZeroes)]
    [InlineData(BlockOperation.Trim)]
    [InlineData(BlockOperation.Cache)]
    public void Long_request_without_payload_is_cut_one_piece_after_the_other(BlockOperation operation)
    {
        (DeferringDevice device, Caller caller) = Make(Info);
        BlockRequest request = caller.Submit(operation, 512, 40L * Mega);
        Assert.Single(device.Held);
        EndAll(device);
        caller.AssertEnded(request);
        Assert.Equal([(512, 16 * Mega), (512 + (16 * Mega), 16 * Mega), (512 + (32 * Mega), 8 * Mega)], Ranges(device));
    }

    [Theory]
    [InlineData(BlockErrno.EOVERFLOW)]
    [InlineData(BlockErrno.EINVAL)]
    public void Zeroes_that_the_server_finds_too_long_are_halved_and_the_limit_is_kept(int refusal)
    {
        // Rule 53.
        (DeferringDevice device, Caller caller) = Make(Info);
        BlockRequest request = caller.Submit(BlockOperation.WriteZeroes, 0, 16 * Mega);
        device.End(0, refusal);
        _ready.Run();
        device.End(0, refusal);
        _ready.Run();
        EndAll(device);
        caller.AssertEnded(request);
        Assert.Equal(
            [(0, 16 * Mega), (0, 8 * Mega), (0, 4 * Mega), (4 * Mega, 4 * Mega), (8 * Mega, 4 * Mega), (12 * Mega, 4 * Mega)],
            Ranges(device));
        device.Seen.Clear();
        caller.Submit(BlockOperation.Trim, 0, 8 * Mega);
        Assert.Equal(4 * Mega, device.Seen[0].Length);
    }

    [Fact]
    public void Refusal_in_the_middle_goes_on_from_there_in_smaller_pieces()
    {
        (DeferringDevice device, Caller caller) = Make(Info);
        BlockRequest request = caller.Submit(BlockOperation.WriteZeroes, 0, 32L * Mega);
        device.End();
        _ready.Run();
        device.End(0, BlockErrno.EOVERFLOW);
        _ready.Run();
        EndAll(device);
        caller.AssertEnded(request);
        Assert.Equal([(0, 16 * Mega), (16 * Mega, 16 * Mega), (16 * Mega, 8 * Mega), (24 * Mega, 8 * Mega)], Ranges(device));
    }

    [Theory]
    [InlineData(BlockErrno.EOVERFLOW)]
    [InlineData(BlockErrno.EINVAL)]
    public void Halving_ends_and_the_error_is_told(int refusal)
    {
        (DeferringDevice device, Caller caller) = Make(Info);
        BlockRequest request = caller.Submit(BlockOperation.Trim, 0, 16 * Mega);
        while (device.Held.Count > 0)
        {
            device.End(0, refusal);
            _ready.Run();
        }

        caller.AssertEnded(request, refusal);
        Assert.Equal(13, device.Seen.Count);
    }

    [Fact]
    public void Other_errors_are_not_tried_again()
    {
        (DeferringDevice device, Caller caller) = Make(Info);
        BlockRequest request = caller.Submit(BlockOperation.Trim, 0, 16 * Mega);
        device.End(0, BlockErrno.EIO);
        caller.AssertEnded(request, BlockErrno.EIO);
        BlockRequest read = caller.Submit(BlockOperation.Read, 0, 4096);
        device.End(0, BlockErrno.EOVERFLOW);
        caller.AssertEnded(read, BlockErrno.EOVERFLOW);
        Assert.Equal(2, device.Seen.Count);
    }

    [Fact]
    public void More_long_requests_than_contexts_wait_and_all_end()
    {
        (DeferringDevice device, Caller caller) = Make(Info);
        for (int i = 0; i < 40; i++)
        {
            caller.Submit(BlockOperation.Read, i * 65536, 4096 * 6);
        }

        Assert.Equal(64, device.Held.Count);
        EndAll(device);
        Assert.Equal(0, caller.InFlight);
        Assert.Equal(40, caller.Ended.Distinct().Count());
        Assert.Equal(240, device.Seen.Count);
    }

    [Fact]
    public void Thousands_of_abandoned_requests_that_wait_end_on_a_small_stack()
    {
        // One ending inside the other would overflow the 256 KiB of a loop's stack.
        var thread = new Thread(
            () =>
            {
                (DeferringDevice device, Caller caller) = Make(Info);
                for (int i = 0; i < 4096; i++)
                {
                    caller.Submit(BlockOperation.Trim, 0, 32L * Mega).IsAbandoned = true;
                }

                EndAll(device);
                Assert.Equal(4096, caller.Ended.Count);
                Assert.Equal(16, device.Seen.Count);
            },
            256 * 1024);
        thread.Start();
        thread.Join();
    }

    private (DeferringDevice Device, Caller Caller) Make(BlockDeviceInfo info)
    {
        var device = new DeferringDevice(info);
        return (device, new Caller(new ContractCheckLayer(new SplitLayer(new ContractCheckLayer(device), _ready)), _ready));
    }

    private void EndAll(DeferringDevice device)
    {
        _ready.Run();
        while (device.Held.Count > 0)
        {
            device.End();
            _ready.Run();
        }
    }

    private static IEnumerable<(long Offset, long Length)> Ranges(DeferringDevice device) =>
        device.Seen.Select(seen => (seen.Offset, seen.Length));
}
