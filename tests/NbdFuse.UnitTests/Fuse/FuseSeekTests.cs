using System.Runtime.InteropServices;
using NbdFuse.Block;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

/// <summary>SEEK_DATA and SEEK_HOLE over a device that knows its holes: 0 to 8 KiB, 16 to 24 KiB, and from 32 KiB on.</summary>
public sealed class FuseSeekTests
{
    private const int Size = FakeKernel.Size;
    private const uint Data = 3;
    private const uint Hole = 4;

    [Theory]
    [InlineData(Data, 0, 8192)]
    [InlineData(Data, 100, 8192)]
    [InlineData(Data, 8192, 8192)]
    [InlineData(Data, 9000, 9000)]
    [InlineData(Data, 16384, 24576)]
    [InlineData(Hole, 0, 0)]
    [InlineData(Hole, 100, 100)]
    [InlineData(Hole, 8192, 16384)]
    [InlineData(Hole, 10_000, 16384)]
    [InlineData(Hole, 25_000, 32768)]
    [InlineData(Hole, Size - 1, Size - 1)]
    [InlineData(Data, 40_000, -Errno.ENXIO)]
    [InlineData(Data, Size - 1, -Errno.ENXIO)]
    [InlineData(Data, Size, -Errno.ENXIO)]
    [InlineData(Hole, Size, -Errno.ENXIO)]
    public void Lseek_asks_the_device_until_it_has_found(uint whence, long offset, long expected)
    {
        using FakeKernel kernel = Start();
        Assert.Equal(expected, Seek(kernel, whence, offset));
        Assert.Equal(0, kernel.OnLoop(() => kernel.Queue.InFlight));
    }

    [Fact]
    public void Hole_of_unknown_content_is_data_and_zeroes_are_a_hole()
    {
        using FakeKernel kernel = Start(offset => offset < 4096 ? BlockStatus.Hole : BlockStatus.Zero);
        Assert.Equal(0, Seek(kernel, Data, 0));
        Assert.Equal(4096, Seek(kernel, Hole, 0));
    }

    [Theory]
    [InlineData(Data, 100, 100)]
    [InlineData(Hole, 100, Size)]
    public void Device_that_fails_to_tell_is_all_data(uint whence, long offset, long expected)
    {
        using FakeKernel kernel = Start();
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            request.Complete(BlockErrno.EOPNOTSUPP);
            return true;
        });
        Assert.Equal(expected, Seek(kernel, whence, offset));
    }

    [Theory]
    [InlineData(Data, 0, 0)]
    [InlineData(Hole, 0, Size)]
    public void Status_of_no_length_does_not_go_on_for_ever(uint whence, long offset, long expected)
    {
        using FakeKernel kernel = Start();
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            request.StatusLength = 0;
            request.Status = BlockStatus.Zero;
            request.Complete(0);
            return true;
        });
        Assert.Equal(expected, Seek(kernel, whence, offset));
    }

    [Theory]
    [InlineData(Data, 32768, 36864)]
    [InlineData(Data, 37000, 37000)]
    [InlineData(Data, 45000, -Errno.ENXIO)]
    [InlineData(Hole, 32768, 32768)]
    [InlineData(Hole, 36864, 40960)]
    [InlineData(Hole, 40959, 40960)]
    public void Hole_is_not_told_where_a_write_was_under_way_when_the_device_was_asked(uint whence, long offset, long expected)
    {
        using FakeKernel kernel = Start();
        HoldWrites(kernel);
        ulong write = kernel.SendWrite(36864, new byte[4096]);
        Assert.Equal(expected, Seek(kernel, whence, offset));
        kernel.OnLoop(() => kernel.Device.LetGo());
        Assert.Equal(0, kernel.Answer(write).Error);
    }

    [Theory]
    [InlineData(Data, 36864)]
    [InlineData(Hole, 32768)]
    public void Hole_is_not_told_where_a_write_is_acknowledged_before_the_search_ends(uint whence, long expected)
    {
        using FakeKernel kernel = Start();
        BlockRequest? asked = null;
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            if (request.Operation != BlockOperation.BlockStatus)
            {
                return false;
            }

            // The device has looked before the write, and its answer arrives after that of the write.
            asked ??= request;
            return true;
        });
        ulong seek = kernel.Send(FuseOpcode.Lseek, new FuseLseekIn { Offset = 32768, Whence = whence });
        Assert.True(SpinWait.SpinUntil(() => kernel.OnLoop(() => asked is not null), FakeKernel.TimeoutMs));
        Assert.Equal(0, kernel.Answer(kernel.SendWrite(36864, new byte[4096])).Error);
        kernel.OnLoop(() =>
        {
            asked!.StatusLength = asked.Length;
            asked.Status = BlockStatus.Hole | BlockStatus.Zero;
            asked.Complete(0);
            return 0;
        });
        Assert.Equal((seek, expected), Sought(kernel.Receive()));
    }

    [Theory]
    [InlineData(Data, 256 * 4)]
    [InlineData(Hole, 4096)]
    public void Search_asks_so_often_and_then_takes_the_rest_for_data(uint whence, long expected)
    {
        // Hole: what is asked for never comes, so that the whole file is looked through in pieces of 4 bytes.
        using FakeKernel kernel = Start(info: FakeKernel.DefaultInfo with { CanBlockStatus = true, Size = 4096 });
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            request.StatusLength = 4;
            request.Status = whence == Data ? BlockStatus.Zero : BlockStatus.Data;
            request.Complete(0);
            return true;
        });
        Assert.Equal(expected, Seek(kernel, whence, 0));
        Assert.Equal(256, kernel.Log().Length);
    }

    [Theory]
    [InlineData(BlockErrno.EINVAL)]
    [InlineData(BlockErrno.EOVERFLOW)]
    public void Question_that_the_device_finds_too_long_is_asked_again_in_halves(int error)
    {
        using FakeKernel kernel = Start(info: FakeKernel.DefaultInfo with { CanBlockStatus = true, Size = 5 << 20 });
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            request.StatusLength = Math.Min(request.Length, request.Offset < 4 << 20 ? (4 << 20) - request.Offset : request.Length);
            request.Status = request.Offset < 4 << 20 ? BlockStatus.Zero : BlockStatus.Data;
            request.Complete(request.Length > 2 << 20 ? error : 0);
            return true;
        });
        Assert.Equal(4 << 20, Seek(kernel, Data, 0));
    }

    [Fact]
    public void Interrupted_search_is_answered_and_its_slot_comes_back_when_the_device_answers()
    {
        using FakeKernel kernel = Start(options: new FuseSessionOptions { InterruptAfterMs = 0, InterruptTickMs = 1 });
        BlockRequest? asked = null;
        kernel.OnLoop(() => kernel.Device.Intercept = request => (asked = request) is not null);
        ulong seek = kernel.Send(FuseOpcode.Lseek, new FuseLseekIn { Offset = 0, Whence = Data });
        Assert.True(SpinWait.SpinUntil(() => kernel.OnLoop(() => asked is not null), FakeKernel.TimeoutMs));
        kernel.Send(FuseOpcode.Interrupt, new FuseInterruptIn { Unique = seek });
        Assert.Equal(Errno.EINTR, kernel.Answer(seek).Error);
        kernel.OnLoop(() =>
        {
            asked!.StatusLength = 4096;
            asked.Status = BlockStatus.Zero;
            asked.Complete(0);
            return 0;
        });
        kernel.Barrier();
        Assert.Equal(0, kernel.OnLoop(() => kernel.Queue.InFlight));
        Assert.Single(kernel.Log());
    }

    [Fact]
    public void Blocks_are_all_but_one_until_holes_are_met_and_more_again_after_writes()
    {
        using FakeKernel kernel = Start();
        Assert.Equal(127ul, Blocks(kernel));
        Assert.Equal(8192, Seek(kernel, Data, 0));
        Assert.Equal(112ul, Blocks(kernel));
        Assert.Equal(-Errno.ENXIO, Seek(kernel, Data, 32768));
        Assert.Equal(48ul, Blocks(kernel));
        HoldWrites(kernel);
        kernel.SendWrite(0, new byte[4096]);
        Assert.Equal(56ul, Blocks(kernel));

        // While the write is under way the device may still call it a hole.
        Assert.Equal(0, Seek(kernel, Data, 0));
        Assert.Equal(56ul, Blocks(kernel));
        kernel.OnLoop(() => kernel.Device.LetGo());
    }

    [Fact]
    public void Attributes_are_kept_for_a_second_where_holes_are_learned()
    {
        using FakeKernel kernel = Start();
        FuseAttrOut attributes = MemoryMarshal.Read<FuseAttrOut>(kernel.Ask(FuseOpcode.Getattr, new FuseGetattrIn()).Body);
        Assert.Equal((1ul, 0u), (attributes.AttrValid, attributes.AttrValidNs));
    }

    private static ulong Blocks(FakeKernel kernel) =>
        MemoryMarshal.Read<FuseAttrOut>(kernel.Ask(FuseOpcode.Getattr, new FuseGetattrIn()).Body).Attr.Blocks;

    private static void HoldWrites(FakeKernel kernel) => kernel.OnLoop(() =>
    {
        Func<BlockRequest, bool> tell = kernel.Device.Intercept!;
        kernel.Device.Holds = true;
        kernel.Device.Intercept = request => request.Operation == BlockOperation.BlockStatus && tell(request);
        return 0;
    });

    private static FakeKernel Start(
        Func<long, BlockStatus>? status = null, BlockDeviceInfo? info = null, FuseSessionOptions? options = null)
    {
        status ??= offset => offset is < 8192 or (>= 16384 and < 24576) or >= 32768 ? BlockStatus.Hole | BlockStatus.Zero : BlockStatus.Data;
        var kernel = new FakeKernel(options, info ?? FakeKernel.DefaultInfo with { CanBlockStatus = true });
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            // One piece of 4 KiB at a time, so that the search has to ask again.
            Assert.Equal(BlockOperation.BlockStatus, request.Operation);
            request.StatusLength = Math.Min(4096 - (request.Offset % 4096), request.Length);
            request.Status = status(request.Offset);
            request.Complete(0);
            return true;
        });
        return kernel;
    }

    private static long Seek(FakeKernel kernel, uint whence, long offset)
    {
        ulong unique = kernel.Send(FuseOpcode.Lseek, new FuseLseekIn { Offset = (ulong)offset, Whence = whence });
        (ulong answered, long found) = Sought(kernel.Receive());
        Assert.Equal(unique, answered);
        return found;
    }

    private static (ulong Unique, long Found) Sought((ulong Unique, int Error, byte[] Body) answer) =>
        (answer.Unique, answer.Error != 0 ? -answer.Error : (long)MemoryMarshal.Read<FuseLseekOut>(answer.Body).Offset);
}
