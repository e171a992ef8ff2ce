using NbdFuse.Cli;
using Xunit;

namespace NbdFuse.UnitTests.Cli;

public sealed class SizeTextTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("1", 1)]
    [InlineData("512", 512)]
    [InlineData("512B", 512)]
    [InlineData("1k", 1024)]
    [InlineData("1K", 1024)]
    [InlineData("1KiB", 1024)]
    [InlineData("1KB", 1024)]
    [InlineData("3M", 3 << 20)]
    [InlineData("2g", 2L << 30)]
    [InlineData("5TiB", 5L << 40)]
    [InlineData("1P", 1L << 50)]
    [InlineData("7E", 7L << 60)]
    [InlineData("9223372036854775807", long.MaxValue)]
    public void A_size_is_read(string text, long bytes)
    {
        Assert.True(SizeText.TryParse(text, out long result));
        Assert.Equal(bytes, result);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("M")]
    [InlineData("-1")]
    [InlineData("+1")]
    [InlineData("1.5G")]
    [InlineData("1 G")]
    [InlineData(" 1")]
    [InlineData("1X")]
    [InlineData("1GG")]
    [InlineData("1BB")]
    [InlineData("1Gi")]
    [InlineData("0x10")]
    [InlineData("8E")]
    [InlineData("9223372036854775808")]
    public void What_is_no_size_is_refused(string? text)
    {
        Assert.False(SizeText.TryParse(text, out _));
    }

    // What nbdinfo 1.14 prints for these sizes.
    [Theory]
    [InlineData(0, "0")]
    [InlineData(1023, "1023")]
    [InlineData(1024, "1K")]
    [InlineData(1025, "1025")]
    [InlineData(1536, "1536")]
    [InlineData(1573376, "1573376")]
    [InlineData(1573888, "1537K")]
    [InlineData(1048576, "1M")]
    [InlineData(6442450944, "6G")]
    [InlineData(1099511627776, "1T")]
    [InlineData(123456789, "123456789")]
    public void A_size_is_shown_in_the_largest_unit_without_a_remainder(ulong bytes, string text)
    {
        Assert.Equal(text, SizeText.Exact(bytes));
    }

    [Fact]
    public void The_largest_export_has_a_text()
    {
        Assert.Equal("8E", SizeText.Exact(1UL << 63));
        Assert.Equal("18446744073709551615", SizeText.Exact(ulong.MaxValue));
    }
}
