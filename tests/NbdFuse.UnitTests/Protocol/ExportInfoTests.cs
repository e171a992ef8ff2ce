using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Protocol;

public class ExportInfoTests
{
    [Theory]
    [InlineData(1u, 512u, 512u)]
    [InlineData(1u, 4096u, 33554432u)]
    [InlineData(512u, 512u, 513u)] // the maximum is any number
    [InlineData(65536u, 65536u, 65536u)]
    [InlineData(4096u, 65536u, 0xffffffffu)]
    [InlineData(1u, 0x80000000u, 0x80000000u)]
    public void Block_sizes_within_the_rules_are_taken(uint minimum, uint preferred, uint maximum)
    {
        Assert.True(NbdBlockSizes.TryCreate(minimum, preferred, maximum, out NbdBlockSizes sizes));
        Assert.Equal(new NbdBlockSizes(minimum, preferred, maximum), sizes);
    }

    [Theory]
    [InlineData(0u, 512u, 4096u)] // no minimum
    [InlineData(3u, 4096u, 4096u)] // not a power of two
    [InlineData(131072u, 131072u, 131072u)] // minimum above 64 KiB
    [InlineData(0x80000000u, 0x80000000u, 0xffffffffu)]
    [InlineData(1u, 0u, 4096u)] // no preferred
    [InlineData(1u, 256u, 4096u)] // preferred below 512
    [InlineData(1u, 1000u, 4096u)] // preferred not a power of two
    [InlineData(4096u, 2048u, 8192u)] // preferred below the minimum
    [InlineData(512u, 4096u, 4095u)] // maximum below the preferred
    [InlineData(512u, 4096u, 0u)]
    [InlineData(0u, 0u, 0u)]
    public void Block_sizes_that_break_a_rule_are_ignored_altogether(uint minimum, uint preferred, uint maximum)
    {
        Assert.False(NbdBlockSizes.TryCreate(minimum, preferred, maximum, out NbdBlockSizes sizes));
        Assert.Equal(default, sizes);
    }

    [Theory]
    [InlineData(NbdTransmissionFlags.HasFlags, "")]
    [InlineData(NbdTransmissionFlags.ReadOnly, nameof(NbdExportInfo.IsReadOnly))]
    [InlineData(NbdTransmissionFlags.SendFlush, nameof(NbdExportInfo.CanFlush))]
    [InlineData(NbdTransmissionFlags.SendFua, nameof(NbdExportInfo.CanFua))]
    [InlineData(NbdTransmissionFlags.Rotational, nameof(NbdExportInfo.IsRotational))]
    [InlineData(NbdTransmissionFlags.SendTrim, nameof(NbdExportInfo.CanTrim))]
    [InlineData(NbdTransmissionFlags.SendWriteZeroes, nameof(NbdExportInfo.CanWriteZeroes))]
    [InlineData(NbdTransmissionFlags.SendDf, nameof(NbdExportInfo.CanDf))]
    [InlineData(NbdTransmissionFlags.CanMultiConn, nameof(NbdExportInfo.CanMultiConn))]
    [InlineData(NbdTransmissionFlags.SendResize, "")]
    [InlineData(NbdTransmissionFlags.SendCache, nameof(NbdExportInfo.CanCache))]
    [InlineData(NbdTransmissionFlags.SendFastZero, nameof(NbdExportInfo.CanFastZero))]
    [InlineData((NbdTransmissionFlags)0x8000, "")]
    public void Each_transmission_flag_sets_its_property_and_no_other(NbdTransmissionFlags flag, string property)
    {
        var info = new NbdExportInfo { Name = "x", Size = 1, Flags = flag };
        IEnumerable<string> set = typeof(NbdExportInfo).GetProperties()
            .Where(p => p.PropertyType == typeof(bool) && (bool)p.GetValue(info)!)
            .Select(p => p.Name);
        Assert.Equal(property, string.Join(' ', set));
    }

    [Fact]
    public void Limits_admit_what_the_specification_allows()
    {
        Assert.Equal(10809, NbdLimits.DefaultPort);
        Assert.Equal(4096, NbdLimits.MaxStringBytes);
        Assert.Equal(1 << 25, NbdLimits.MaxPayloadBytes);
        Assert.Equal(65536u, NbdLimits.MaxMinimumBlock);
        Assert.Equal(1u, NbdLimits.DefaultMinimumBlock);
        Assert.Equal(512u, NbdLimits.DefaultGranularity);
        Assert.Equal(0x7fff_ffff_ffff_ffffUL, NbdLimits.MaxExportSize);
        Assert.InRange(NbdLimits.MaxOptionReplyBytes, 4 + (2 * NbdLimits.MaxStringBytes), NbdLimits.MaxHandshakeBytes);
        Assert.InRange(NbdLimits.MaxOptionRequestBytes, 6 + NbdLimits.MaxStringBytes, int.MaxValue);

        // A list of the largest size fits with names of the length that the specification recommends.
        Assert.InRange(NbdLimits.MaxListBytes, NbdLimits.MaxListedExports * 256, int.MaxValue);
    }
}
