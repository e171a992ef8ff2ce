using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Block;

public class AlignmentLayerTests
{
    private readonly ReadyList _ready = new();

    public static TheoryData<int, int> Shapes { get; } = new()
    {
        // Block, and bytes of a last block that may be shorter.
        { 512, 0 }, { 512, 1 }, { 512, 511 }, { 4096, 0 }, { 4096, 100 }, { 65536, 0 }, { 65536, 513 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Every_range_around_the_blocks_reads_writes_and_zeroes_exactly_itself(int block, int tail)
    {
        int size = (3 * block) + tail;
        byte[] model = PatternData.Create(1, 0, size);
        var device = new MemoryBlockDevice(new BlockDeviceInfo { Size = size, MinimumBlock = block, CanWriteZeroes = true, CanFua = true });
        model.CopyTo(device.Content);
        IBlockDevice layer = new AlignmentLayer(new ContractCheckLayer(device), _ready);
        var caller = new Caller(layer, _ready);
        int[] edges = [.. new[] { 0, block, 2 * block, 3 * block, size }
            .SelectMany(edge => new[] { edge - 1, edge, edge + 1 }).Append(block / 2).Append(block + (block / 2))
            .Where(edge => edge >= 0 && edge <= size).Distinct().Order()];
        ulong seed = 2;
        foreach (int start in edges)
        {
            foreach (int end in edges.Where(edge => edge > start))
            {
                string what = $"[{start}, {end})";
                BlockRequest read = caller.Submit(BlockOperation.Read, start, end - start);
                caller.AssertEnded(read);
                PatternData.AssertEqual(model.AsSpan(start..end), read.Buffer.Span, start, $"read {what}");
                byte[] data = PatternData.Create(seed++, start, end - start);
                data.CopyTo(model, start);
                caller.AssertEnded(caller.Write(start, data, BlockRequestFlags.Fua));
                PatternData.AssertEqual(model, device.Content, 0, $"write {what}");
                model.AsSpan(start..end).Clear();
                caller.AssertEnded(caller.Submit(BlockOperation.WriteZeroes, start, end - start));
                PatternData.AssertEqual(model, device.Content, 0, $"zeroes {what}");
                PatternData.Fill(model.AsSpan(start..end), seed++, start);
                model.CopyTo(device.Content);
                caller.Ended.Clear();
            }
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Status_is_asked_for_whole_blocks_and_told_for_what_was_asked(int block, int tail)
    {
        // Rule 48.
        int size = (3 * block) + tail;
        var device = new DeferringDevice(new BlockDeviceInfo { Size = size, MinimumBlock = block, CanBlockStatus = true });
        IBlockDevice layer = new AlignmentLayer(new ContractCheckLayer(device), _ready);
        var caller = new Caller(layer, _ready);
        foreach ((int start, int end) in new[] { (1, size), (block - 1, block + 1), (block + 1, size - 1), (block, 2 * block), (size - 1, size) })
        {
            // Half of a block tells of less than is asked about where it starts behind that; the rest is then taken for data.
            foreach (int told in new[] { block / 2, block, size })
            {
                BlockRequest request = caller.Submit(BlockOperation.BlockStatus, start, end - start);
                BlockRequest below = Assert.Single(device.Held);
                int told2 = (int)Math.Min(told, below.Length);
                (long first, below.StatusLength, below.Status) = (below.Offset, told2, BlockStatus.Zero);
                device.End();
                caller.AssertEnded(request);
                Assert.Equal((start, end - start), (request.Offset, request.Length));
                bool isTold = first + told2 > start;
                Assert.Equal(isTold ? BlockStatus.Zero : BlockStatus.Data, request.Status);
                Assert.Equal(isTold ? Math.Min(first + told2, end) - start : end - start, request.StatusLength);
                caller.Ended.Clear();
            }
        }

        BlockRequest failed = caller.Submit(BlockOperation.BlockStatus, 1, 1);
        device.End(0, BlockErrno.EIO);
        caller.AssertEnded(failed, BlockErrno.EIO);
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Trim_is_rounded_inwards_and_cache_outwards(int block, int tail)
    {
        // Rules 48, 74, 77.
        int size = (3 * block) + tail;
        var device = new DeferringDevice(new BlockDeviceInfo { Size = size, MinimumBlock = block, CanTrim = true, CanCache = true });
        var caller = new Caller(new AlignmentLayer(new ContractCheckLayer(device), _ready), _ready);
        Ask(BlockOperation.Trim, 1, block);
        Assert.Empty(device.Seen);
        Ask(BlockOperation.Trim, 1, (2 * block) - 1);
        Ask(BlockOperation.Trim, block - 1, block + 2);
        Ask(BlockOperation.Trim, block, block + 1);
        Assert.All(device.Seen, seen => Assert.Equal((block, block), (seen.Offset, seen.Length)));
        Assert.Equal(3, device.Seen.Count);
        device.Seen.Clear();
        Ask(BlockOperation.Cache, block - 1, 2);
        Ask(BlockOperation.Cache, size - 1, 1);
        Assert.Equal((0, 2 * block), (device.Seen[0].Offset, device.Seen[0].Length));
        Assert.Equal(size, device.Seen[1].Offset + device.Seen[1].Length);
        Assert.Equal(tail == 0 ? 2 * block : 3 * block, device.Seen[1].Offset);

        void Ask(BlockOperation operation, long offset, long length)
        {
            BlockRequest request = caller.Submit(operation, offset, length);
            if (device.Held.Count > 0)
            {
                device.End();
            }

            caller.AssertEnded(request);
        }
    }

    [Fact]
    public void Aligned_requests_pass_untouched()
    {
        (DeferringDevice device, Caller caller) = Make(4096 + 100, 4096);
        BlockRequest[] requests =
        [
            caller.Submit(BlockOperation.Read, 0, 4096),
            caller.Submit(BlockOperation.Write, 4096, 100),
            caller.Submit(BlockOperation.Flush),
        ];
        Assert.Equal(requests, device.Held);
    }

    [Theory]
    [InlineData(BlockOperation.Write)]
    [InlineData(BlockOperation.WriteZeroes)]
    public void Error_while_the_old_content_is_read_changes_nothing(BlockOperation operation)
    {
        (DeferringDevice device, Caller caller) = Make(4 * 512, 512);
        BlockRequest request = caller.Submit(operation, 100, 1000);
        Assert.Equal(2, device.Held.Count);
        device.End(1, BlockErrno.EIO);
        caller.AssertNotEnded(request);
        device.End();
        caller.AssertEnded(request, BlockErrno.EIO);
        Assert.All(device.Seen, seen => Assert.Equal(BlockOperation.Read, seen.Operation));
    }

    [Fact]
    public void Write_that_is_abandoned_while_the_old_content_is_read_is_withdrawn()
    {
        (DeferringDevice device, Caller caller) = Make(4 * 512, 512);
        BlockRequest request = caller.Submit(BlockOperation.Write, 100, 100);
        request.IsAbandoned = true;
        device.End();
        caller.AssertEnded(request, BlockErrno.EINTR);
        Assert.Single(device.Seen);
    }

    [Fact]
    public void Error_of_any_part_is_the_error_of_the_whole_after_all_have_ended()
    {
        for (int failing = 0; failing < 3; failing++)
        {
            (DeferringDevice device, Caller caller) = Make(4 * 512, 512);
            BlockRequest request = caller.Submit(BlockOperation.Write, 100, 1100, BlockRequestFlags.Fua);
            device.End();
            device.End();
            _ready.Run();
            Assert.Equal(3, device.Held.Count);
            Assert.All(device.Held, part => Assert.Equal(BlockRequestFlags.Fua, part.Flags));
            device.End(failing, BlockErrno.ENOSPC);
            device.End();
            caller.AssertNotEnded(request);
            device.End();
            caller.AssertEnded(request, BlockErrno.ENOSPC);
        }
    }

    [Fact]
    public void More_unaligned_requests_than_contexts_wait_and_all_end()
    {
        (DeferringDevice device, Caller caller) = Make(64 * 512, 512);
        for (int i = 0; i < 50; i++)
        {
            caller.Write((i * 512) + 1, [1, 2, 3]);
        }

        Assert.Equal(16, device.Held.Count);
        while (device.Held.Count > 0)
        {
            device.End();
            _ready.Run();
        }

        Assert.Equal(50, caller.Ended.Distinct().Count());
        Assert.All(Enumerable.Range(0, 50), i => Assert.Equal(2, ContentAt(i)));

        int ContentAt(int i) => device.Content[(i * 512) + 2];
    }

    [Theory]
    [InlineData(512)]
    [InlineData(65536)]
    public void Last_block_of_the_largest_device_does_not_overflow(int block)
    {
        (DeferringDevice device, Caller caller) = Make(long.MaxValue, block);
        BlockRequest request = caller.Write(long.MaxValue - 3, [1]);
        long start = long.MaxValue - (long.MaxValue % block);
        Assert.Equal([new(BlockOperation.Read, 0, start, long.MaxValue - start)], device.Seen);
        device.End();
        _ready.Run();
        Assert.Equal(new SeenRequest(BlockOperation.Write, 0, start, long.MaxValue - start), device.Seen[1]);
        device.End();
        caller.AssertEnded(request);
        caller.Submit(BlockOperation.Read, long.MaxValue - block - 1, block + 1);
        Assert.Equal(long.MaxValue, device.Seen.Skip(2).Max(seen => seen.Offset + seen.Length));
    }

    private (DeferringDevice Device, Caller Caller) Make(long size, int block)
    {
        var device = new DeferringDevice(new BlockDeviceInfo
        {
            Size = size,
            MinimumBlock = block,
            CanWriteZeroes = true,
            CanTrim = true,
            CanFua = true,
            CanFlush = true,
        });
        return (device, new Caller(new AlignmentLayer(new ContractCheckLayer(device), _ready), _ready));
    }
}
