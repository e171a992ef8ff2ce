using NbdFuse.Attach;
using NbdFuse.Attach.KernelNbd;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Attach;

public sealed class KernelNbdGeometryTests
{
    private const int Page = 4096;
    private const NbdTransmissionFlags Flags =
        NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.SendFua | NbdTransmissionFlags.Rotational;

    [Fact]
    public void Export_without_block_sizes_gets_512_and_no_limit()
    {
        KernelNbdGeometry geometry = KernelNbdGeometry.Decide(Export(1 << 20), 0, false, Page);

        Assert.Equal(512, geometry.BlockSize);
        Assert.Equal(1 << 20, geometry.Size);
        Assert.Null(geometry.MaximumRequestKb);
        Assert.False(geometry.IsReadOnly);
    }

    [Fact]
    public void Tail_that_fills_no_block_is_cut_and_told()
    {
        KernelNbdGeometry geometry = KernelNbdGeometry.Decide(Export((1 << 20) + 511), 0, false, Page);

        Assert.Equal(1 << 20, geometry.Size);
        Assert.Equal((1 << 20) + 511, geometry.ExportSize);
    }

    [Theory]
    [InlineData(1, 512)]
    [InlineData(512, 512)]
    [InlineData(1024, 1024)]
    [InlineData(4096, 4096)]
    public void Minimum_block_of_the_server_becomes_the_logical_block(uint minimum, int expected)
    {
        Assert.Equal(expected, KernelNbdGeometry.Decide(Export(1 << 20, minimum), 0, false, Page).BlockSize);
    }

    [Fact]
    public void Minimum_block_above_a_page_is_refused_with_another_driver_to_use()
    {
        AttachException error = Assert.Throws<AttachException>(() => KernelNbdGeometry.Decide(Export(1 << 20, 65536), 0, false, Page));

        Assert.Contains("65536", error.Message);
        Assert.Contains("--driver ublk", error.Message);
        Assert.Equal(65536, KernelNbdGeometry.Decide(Export(1 << 20, 65536), 0, false, 65536).BlockSize);
    }

    [Theory]
    [InlineData(512)]
    [InlineData(8192)]
    [InlineData(3000)]
    public void Block_size_below_the_server_s_above_a_page_or_odd_is_refused(int blockSize)
    {
        Assert.Throws<AttachException>(() => KernelNbdGeometry.Decide(Export(1 << 20, 1024), blockSize, false, Page));
    }

    [Fact]
    public void Export_smaller_than_a_block_is_refused()
    {
        Assert.Throws<AttachException>(() => KernelNbdGeometry.Decide(Export(0), 0, false, Page));
        Assert.Throws<AttachException>(() => KernelNbdGeometry.Decide(Export(4095), Page, false, Page));
    }

    [Theory]
    [InlineData(1u << 20, 1024)]
    [InlineData((1u << 20) + 5000, 1028)]
    [InlineData(4096, 4)]
    [InlineData(32u << 20, null)]
    [InlineData(uint.MaxValue, null)]
    public void Maximum_payload_of_the_server_limits_requests_in_whole_pages(uint maximum, int? expected)
    {
        Assert.Equal(expected, KernelNbdGeometry.Decide(Export(1 << 20, 1, maximum), 0, false, Page).MaximumRequestKb);
    }

    [Fact]
    public void Maximum_payload_below_a_page_is_refused()
    {
        Assert.Throws<AttachException>(() => KernelNbdGeometry.Decide(Export(1 << 20, 512, 2048), 0, false, Page));
    }

    [Fact]
    public void Flags_that_the_driver_does_not_know_stay_behind_and_read_only_can_be_added()
    {
        NbdExportInfo export = Export(1 << 20) with { Flags = Flags | NbdTransmissionFlags.SendDf | NbdTransmissionFlags.SendCache };

        Assert.Equal(Flags, KernelNbdGeometry.Decide(export, 0, false, Page).Flags);
        Assert.Equal(Flags | NbdTransmissionFlags.ReadOnly, KernelNbdGeometry.Decide(export, 0, true, Page).Flags);
    }

    [Fact]
    public void Same_export_is_no_mismatch_whatever_the_driver_does_not_know()
    {
        NbdExportInfo now = Export(1 << 20) with { Flags = Flags | NbdTransmissionFlags.SendCache, Description = "new" };

        Assert.Null(KernelNbdGeometry.Mismatch(Export(1 << 20), now));
    }

    [Fact]
    public void Other_size_flags_or_block_sizes_are_a_mismatch_that_names_both()
    {
        NbdExportInfo first = Export(1 << 20, 512);

        Assert.Contains("524288", KernelNbdGeometry.Mismatch(first, first with { Size = 1 << 19 }));
        Assert.Contains("1048576", KernelNbdGeometry.Mismatch(first, first with { Size = 1 << 19 }));
        Assert.Null(KernelNbdGeometry.Mismatch(first, first with { Size = 2 << 20 }));
        Assert.Contains("ReadOnly", KernelNbdGeometry.Mismatch(first, first with { Flags = Flags | NbdTransmissionFlags.ReadOnly }));
        Assert.Contains("not told", KernelNbdGeometry.Mismatch(first, first with { BlockSizes = null }));
        Assert.Contains("1024", KernelNbdGeometry.Mismatch(first, Export(1 << 20, 1024)));
    }

    [Theory]
    [InlineData("/dev/nbd0", 0)]
    [InlineData("/dev/nbd15", 15)]
    [InlineData("/dev/nbd0p1", -1)]
    [InlineData("/dev/nbd", -1)]
    [InlineData("/dev/nbd-1", -1)]
    [InlineData("/dev/loop0", -1)]
    public void Number_of_a_whole_device_is_read_from_its_path(string path, int expected)
    {
        Assert.Equal(expected, KernelNbdDevice.TryNumber(path, out int index) ? index : -1);
    }

    [Fact]
    public void Kernel_s_counters_are_read()
    {
        const string Stat = "      11        2       88        4      22       3      176       5        7      9      10      33       0    264     6     44      8\n";

        IReadOnlyList<OperationStatus> operations = KernelNbdDevice.ParseStatistics(Stat, out int inFlight);

        Assert.Equal(7, inFlight);
        Assert.Equal(
            [
                new OperationStatus("read", 11, 88 * 512, 0), new OperationStatus("write", 22, 176 * 512, 0),
                new OperationStatus("flush", 44, 0, 0), new OperationStatus("trim", 33, 264 * 512, 0),
            ],
            operations);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("x y z")]
    public void Counters_that_are_missing_are_zero(string? text)
    {
        IReadOnlyList<OperationStatus> operations = KernelNbdDevice.ParseStatistics(text, out int inFlight);

        Assert.Equal(0, inFlight);
        Assert.All(operations, operation => Assert.Equal(0, operation.Requests));
    }

    private static NbdExportInfo Export(ulong size, uint? minimum = null, uint maximum = uint.MaxValue) => new()
    {
        Name = "x",
        Size = size,
        Flags = Flags,
        BlockSizes = minimum is { } least ? new NbdBlockSizes(least, Math.Max(least, 4096), maximum) : null,
    };
}
