using System.Runtime.InteropServices;
using NbdFuse.Block;
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
        Assert.All(kernel.Log(), request => Assert.Equal(0, request.Offset % 512));
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

    private static FakeKernel Start(Func<long, BlockStatus>? status = null)
    {
        status ??= offset => offset is < 8192 or (>= 16384 and < 24576) or >= 32768 ? BlockStatus.Hole | BlockStatus.Zero : BlockStatus.Data;
        var kernel = new FakeKernel(info: FakeKernel.DefaultInfo with { CanBlockStatus = true, MinimumBlock = 512 });
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
        (int error, byte[] body) = kernel.Ask(FuseOpcode.Lseek, new FuseLseekIn { Offset = (ulong)offset, Whence = whence });
        return error != 0 ? -error : (long)MemoryMarshal.Read<FuseLseekOut>(body).Offset;
    }
}
