using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;
using NbdFuse.Ublk;
using Xunit;

namespace NbdFuse.UnitTests.Ublk;

public sealed class UblkTranslatorTests
{
    private static readonly UblkLimits Limits = new()
    {
        Sectors = 1000,
        PayloadBytes = 64 * 512,
        IsReadOnly = false,
        DiscardIsTrim = true,
    };

    [Fact]
    public void Discard_without_trim_writes_zeroes_and_allows_holes()
    {
        Assert.Equal(0, Translate(UblkIoOperation.Discard, UblkIoFlags.None, 8, 8, Limits with { DiscardIsTrim = false }, out UblkDemand demand));
        Assert.Equal(new UblkDemand(BlockOperation.WriteZeroes, BlockRequestFlags.None, 4096, 4096), demand);
    }

    [Fact]
    public void Zeroes_are_never_trimmed()
    {
        Assert.Equal(0, Translate(UblkIoOperation.WriteZeroes, UblkIoFlags.None, 0, 1000, Limits, out UblkDemand demand));
        Assert.Equal(BlockOperation.WriteZeroes, demand.Operation);
    }

    [Theory]
    [InlineData(UblkIoOperation.Write)]
    [InlineData(UblkIoOperation.Discard)]
    [InlineData(UblkIoOperation.WriteZeroes)]
    public void Nothing_changes_a_read_only_device(UblkIoOperation operation)
    {
        Assert.Equal(Errno.EIO, Translate(operation, UblkIoFlags.None, 0, 8, Limits with { IsReadOnly = true }, out _));
    }

    [Theory]
    [InlineData(0UL, 64u, 0)]
    [InlineData(0UL, 65u, Errno.EIO)]
    [InlineData(999UL, 1u, 0)]
    [InlineData(999UL, 2u, Errno.EIO)]
    [InlineData(1000UL, 1u, Errno.EIO)]
    [InlineData(ulong.MaxValue, 1u, Errno.EIO)]
    [InlineData(1UL << 55, uint.MaxValue, Errno.EIO)]
    [InlineData(0UL, 0u, Errno.EIO)]
    public void Range_lies_inside_device_and_buffer(ulong sector, uint count, int error)
    {
        Assert.Equal(error, Translate(UblkIoOperation.Read, UblkIoFlags.None, sector, count, Limits, out _));
        Assert.Equal(error, Translate(UblkIoOperation.Write, UblkIoFlags.None, sector, count, Limits, out _));
    }

    [Fact]
    public void Zeroes_may_be_longer_than_a_buffer_and_not_than_the_device()
    {
        Assert.Equal(0, Translate(UblkIoOperation.WriteZeroes, UblkIoFlags.None, 0, 1000, Limits, out _));
        Assert.Equal(Errno.EIO, Translate(UblkIoOperation.WriteZeroes, UblkIoFlags.None, 1, 1000, Limits, out _));
    }

    [Fact]
    public void Flush_ignores_the_range()
    {
        Assert.Equal(0, Translate(UblkIoOperation.Flush, UblkIoFlags.Fua, ulong.MaxValue, 0, Limits, out UblkDemand demand));
        Assert.Equal(new UblkDemand(BlockOperation.Flush, BlockRequestFlags.None, 0, 0), demand);
    }

    [Theory]
    [InlineData(4)]
    [InlineData(6)]
    [InlineData(255)]
    public void Unknown_operation_is_not_supported(int operation)
    {
        Assert.Equal(Errno.EOPNOTSUPP, Translate((UblkIoOperation)operation, UblkIoFlags.None, 0, 8, Limits, out _));
    }

    [Theory]
    [InlineData(BlockOperation.Read, 0, 4096)]
    [InlineData(BlockOperation.Write, 0, 4096)]
    [InlineData(BlockOperation.Flush, 0, 0)]
    [InlineData(BlockOperation.Trim, 0, 0)]
    [InlineData(BlockOperation.WriteZeroes, 0, 0)]
    [InlineData(BlockOperation.Read, Errno.EIO, -Errno.EIO)]
    [InlineData(BlockOperation.Write, Errno.ENOSPC, -Errno.ENOSPC)]
    [InlineData(BlockOperation.Trim, Errno.EOPNOTSUPP, -Errno.EOPNOTSUPP)]
    [InlineData(BlockOperation.Flush, Errno.EOPNOTSUPP, -Errno.EIO)]
    [InlineData(BlockOperation.Read, Errno.EOPNOTSUPP, -Errno.EIO)]
    [InlineData(BlockOperation.Write, Errno.EAGAIN, -Errno.EIO)]
    [InlineData(BlockOperation.Write, Errno.ENOMEM, -Errno.EIO)]
    [InlineData(BlockOperation.Write, -5, -Errno.EIO)]
    [InlineData(BlockOperation.Read, 100_000, -Errno.EIO)]
    public void Result_is_all_bytes_or_an_error_that_ends_the_request(BlockOperation operation, int error, int expected)
    {
        Assert.Equal(expected, UblkTranslator.Result(operation, 4096, error));
    }

    private static int Translate(
        UblkIoOperation operation, UblkIoFlags flags, ulong sector, uint count, in UblkLimits limits, out UblkDemand demand) =>
        UblkTranslator.Translate(
            new UblkIoDescriptor { OperationAndFlags = (uint)operation | (uint)flags, StartSector = sector, Sectors = count },
            limits,
            out demand);
}
