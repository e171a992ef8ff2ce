using NbdFuse.Block;
using NbdFuse.Native.Ublk;
using NbdFuse.Ublk;
using Xunit;

namespace NbdFuse.UnitTests.Ublk;

public sealed class UblkGeometryTests
{
    private const int Capacity = 256;

    private static BlockDeviceInfo Export => new()
    {
        Size = 1 << 30,
        CanFlush = true,
        CanFua = true,
        CanTrim = true,
        CanWriteZeroes = true,
    };

    [Fact]
    public void Usual_export_becomes_a_device_with_all_it_can()
    {
        UblkGeometry geometry = UblkGeometry.Compute(Export, new UblkOptions(), Capacity);

        UblkBasicParams basic = geometry.Params.Basic;
        Assert.Equal((128, 128 * 1024), (geometry.Depth, geometry.Limits.PayloadBytes));
        Assert.Equal((1UL << 30) / 512, basic.DeviceSectors);
        Assert.Equal((9, 12, 12, 12), (basic.LogicalBlockShift, basic.PhysicalBlockShift, basic.MinimumIoShift, basic.OptimalIoShift));
        Assert.Equal(256u, basic.MaximumSectors);
        Assert.Equal(UblkAttributes.VolatileCache | UblkAttributes.Fua, basic.Attributes);
        Assert.Equal(UblkParamTypes.Basic | UblkParamTypes.Discard, geometry.Params.Types);
        Assert.Equal(112u, geometry.Params.Length);
        UblkDiscardParams discard = geometry.Params.Discard;
        Assert.Equal((128u << 20) / 512, discard.MaximumDiscardSectors);
        Assert.Equal((128u << 20) / 512, discard.MaximumWriteZeroesSectors);
        Assert.Equal((4096u, 1), (discard.Granularity, (int)discard.MaximumSegments));
        Assert.True(geometry.Limits.DiscardIsTrim);
        Assert.Equal(0, geometry.TailBytes);
    }

    [Theory]
    [InlineData(true, true, UblkAttributes.VolatileCache | UblkAttributes.Fua)]
    [InlineData(true, false, UblkAttributes.VolatileCache)]
    [InlineData(false, false, UblkAttributes.None)]
    [InlineData(false, true, UblkAttributes.None)]
    public void Cache_is_volatile_whenever_the_export_can_flush(bool flush, bool fua, UblkAttributes expected)
    {
        BlockDeviceInfo export = Export with { CanFlush = flush, CanFua = fua };
        Assert.Equal(expected, UblkGeometry.Compute(export, new UblkOptions(), Capacity).Params.Basic.Attributes);
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void Read_only_device_offers_nothing_that_writes(bool export, bool option)
    {
        UblkGeometry geometry = UblkGeometry.Compute(
            Export with { IsReadOnly = export, IsRotational = true }, new UblkOptions { IsReadOnly = option }, Capacity);

        Assert.True(geometry.Limits.IsReadOnly);
        Assert.Equal(UblkAttributes.ReadOnly | UblkAttributes.Rotational, geometry.Params.Basic.Attributes & (UblkAttributes.ReadOnly | UblkAttributes.Rotational));
        Assert.Equal(UblkParamTypes.Basic, geometry.Params.Types);
    }

    [Theory]
    [InlineData(true, true, true, 262144u, 262144u)]
    [InlineData(true, false, true, 262144u, 0u)]
    [InlineData(false, true, false, 262144u, 262144u)]
    [InlineData(false, false, false, 0u, 0u)]
    public void Discard_is_trim_or_else_zeroes_and_never_more_than_the_export_has(
        bool trim, bool zeroes, bool isTrim, uint discardSectors, uint zeroSectors)
    {
        UblkGeometry geometry = UblkGeometry.Compute(Export with { CanTrim = trim, CanWriteZeroes = zeroes }, new UblkOptions(), Capacity);

        Assert.Equal(discardSectors, geometry.Params.Discard.MaximumDiscardSectors);
        Assert.Equal(zeroSectors, geometry.Params.Discard.MaximumWriteZeroesSectors);
        Assert.Equal(discardSectors + zeroSectors != 0, (geometry.Params.Types & UblkParamTypes.Discard) != 0);
        Assert.Equal(discardSectors != 0 ? 1 : 0, geometry.Params.Discard.MaximumSegments);
        if (discardSectors != 0)
        {
            Assert.Equal(isTrim, geometry.Limits.DiscardIsTrim);
        }
    }

    [Theory]
    [InlineData(1, 4096, 512, 12, 12)]
    [InlineData(512, 512, 512, 9, 9)]
    [InlineData(1, 512, 4096, 12, 12)]
    [InlineData(4096, 65536, 512, 12, 16)]
    [InlineData(65536, 65536, 512, 16, 16)]
    [InlineData(1, 1 << 20, 4096, 12, 20)]
    [InlineData(1, 1 << 25, 512, 12, 20)]
    public void Physical_and_optimal_sizes_come_from_the_export(int minimum, int preferred, int logical, int physicalShift, int optimalShift)
    {
        UblkGeometry geometry = UblkGeometry.Compute(
            Export with { MinimumBlock = minimum, PreferredBlock = preferred }, new UblkOptions { LogicalBlock = logical }, Capacity);

        Assert.Equal((1 << geometry.Params.Basic.LogicalBlockShift, physicalShift, optimalShift), (
            logical, (int)geometry.Params.Basic.PhysicalBlockShift, (int)geometry.Params.Basic.OptimalIoShift));
        Assert.Equal(geometry.Params.Basic.PhysicalBlockShift, geometry.Params.Basic.MinimumIoShift);
    }

    [Theory]
    [InlineData((1L << 20) + 511, 512, 2048, 511)]
    [InlineData((1L << 20) + 3584, 4096, 2048, 3584)]
    [InlineData((1L << 20) + 3584, 512, 2055, 0)]
    [InlineData(long.MaxValue, 512, long.MaxValue / 512, 511)]
    public void Odd_tail_is_left_out_and_told(long size, int logical, long sectors, int tail)
    {
        UblkGeometry geometry = UblkGeometry.Compute(Export with { Size = size }, new UblkOptions { LogicalBlock = logical }, Capacity);
        Assert.Equal((sectors, tail), (geometry.Limits.Sectors, geometry.TailBytes));
    }

    [Theory]
    [InlineData(4096, 32 << 20, 128 * 1024, 128)]
    [InlineData(1 << 18, 32 << 20, 256 * 1024, 64)]
    [InlineData(1 << 20, 32 << 20, 1 << 20, 16)]
    [InlineData(1 << 22, 32 << 20, 1 << 20, 16)]
    [InlineData(1 << 20, 256 * 1024, 256 * 1024, 64)]
    [InlineData(4096, 4096, 128 * 1024, 128)]
    public void Buffers_fit_the_memory_that_is_given(int preferred, int maximum, int payload, int depth)
    {
        UblkGeometry geometry = UblkGeometry.Compute(
            Export with { PreferredBlock = preferred, MaximumPayload = maximum }, new UblkOptions(), Capacity);
        Assert.Equal((payload, depth), (geometry.Limits.PayloadBytes, geometry.Depth));
        Assert.True((long)geometry.Depth * geometry.Limits.PayloadBytes <= new UblkOptions().BufferBytes);
    }

    [Theory]
    [InlineData(0, 64, 63)]
    [InlineData(300, 4096, 300)]
    [InlineData(300, 101, 100)]
    [InlineData(1, 4096, 1)]
    public void Depth_leaves_a_slot_of_the_queue(int asked, int capacity, int depth)
    {
        Assert.Equal(depth, UblkGeometry.Compute(Export, new UblkOptions { Depth = asked }, capacity).Depth);
    }

    [Theory]
    [InlineData(511, 512)]
    [InlineData(4095, 4096)]
    [InlineData(0, 512)]
    public void Export_below_one_block_is_refused(long size, int logical)
    {
        UblkException error = Assert.Throws<UblkException>(
            () => UblkGeometry.Compute(Export with { Size = size }, new UblkOptions { LogicalBlock = logical }, Capacity));
        Assert.Contains("less than one block", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(256)]
    [InlineData(1000)]
    [InlineData(8192)]
    public void Logical_block_that_no_kernel_takes_is_refused(int logical)
    {
        Assert.Throws<UblkException>(() => UblkGeometry.Compute(Export, new UblkOptions { LogicalBlock = logical }, Capacity));
    }

    [Fact]
    public void Limit_of_zeroes_fits_the_numbers_of_the_kernel()
    {
        UblkGeometry geometry = UblkGeometry.Compute(Export with { MaximumZeroes = 1L << 50 }, new UblkOptions { LogicalBlock = 4096 }, Capacity);
        Assert.True(geometry.Params.Discard.MaximumDiscardSectors <= uint.MaxValue >> 9);
        Assert.Equal(0u, geometry.Params.Discard.MaximumDiscardSectors % 8);

        geometry = UblkGeometry.Compute(Export with { MaximumZeroes = 512 }, new UblkOptions { LogicalBlock = 4096 }, Capacity);
        Assert.Equal(8u, geometry.Params.Discard.MaximumDiscardSectors);
    }

    [Fact]
    public void Device_is_asked_for_with_recovery_and_our_mark()
    {
        UblkGeometry geometry = UblkGeometry.Compute(Export, new UblkOptions(), Capacity);

        UblkDeviceInfo info = geometry.ToDeviceInfo(new UblkOptions { DeviceId = 7 });
        Assert.Equal((1, 128, 128u * 1024, 7u), ((int)info.Queues, (int)info.Depth, info.MaximumIo, info.DeviceId));
        Assert.Equal(UblkFeatures.UserRecovery | UblkFeatures.RecoveryReissue, info.Flags);
        Assert.Equal(UblkGeometry.ServerMark, info.ServerFlags);

        info = geometry.ToDeviceInfo(new UblkOptions { Recovery = false });
        Assert.Equal((UblkFeatures.None, uint.MaxValue), (info.Flags, info.DeviceId));
    }
}
