using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;
using NbdFuse.Ublk;
using Xunit;

namespace NbdFuse.UnitTests.Ublk;

public sealed class UblkRecoveryTests
{
    private const int Capacity = 256;

    private static BlockDeviceInfo Export => new()
    {
        Size = (1 << 30) + 100,
        MinimumBlock = 512,
        CanFlush = true,
        CanFua = true,
        CanTrim = true,
        CanWriteZeroes = true,
    };

    [Theory]
    [InlineData(512, 100)]
    [InlineData(4096, 100)]
    public void Device_fits_the_export_that_it_was_made_from(int logical, int tail)
    {
        (UblkDeviceInfo info, UblkParams parameters) = Device(Export, new UblkOptions { LogicalBlock = logical });

        UblkGeometry geometry = UblkRecovery.Check(info, parameters, Export, Capacity);

        Assert.Equal((128, 128 * 1024, 1L << 30, tail), (geometry.Depth, geometry.Limits.PayloadBytes, geometry.Size, geometry.TailBytes));
        Assert.False(geometry.Limits.IsReadOnly);
    }

    public static TheoryData<string, Func<BlockDeviceInfo, BlockDeviceInfo>> Others => new()
    {
        { "bytes", export => export with { Size = (1 << 30) - 512 } },
        { "bytes", export => export with { Size = (1 << 30) + 512 } },
        { "read-only", export => export with { IsReadOnly = true } },
        { "blocks", export => export with { MinimumBlock = 8192 } },
        { "flush", export => export with { CanFlush = false } },
        { "zeroes", export => export with { CanWriteZeroes = false } },
        { "zeroes", export => export with { CanWriteZeroes = false, CanTrim = false } },
    };

    [Theory]
    [MemberData(nameof(Others))]
    public void Export_that_is_another_one_is_refused_with_the_difference(string word, Func<BlockDeviceInfo, BlockDeviceInfo> change)
    {
        (UblkDeviceInfo info, UblkParams parameters) = Device(Export);

        UblkException error = Assert.Throws<UblkException>(() => UblkRecovery.Check(info, parameters, change(Export), Capacity));

        Assert.Contains(word, error.Message, StringComparison.Ordinal);
        Assert.StartsWith("/dev/ublkb3 cannot be recovered: ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Export_that_lost_only_trim_is_taken_and_discards_by_zeroes()
    {
        (UblkDeviceInfo info, UblkParams parameters) = Device(Export);
        Assert.False(UblkRecovery.Check(info, parameters, Export with { CanTrim = false }, Capacity).Limits.DiscardIsTrim);
    }

    [Fact]
    public void Read_only_device_stays_so_over_a_writable_export()
    {
        (UblkDeviceInfo info, UblkParams parameters) = Device(Export, new UblkOptions { IsReadOnly = true });
        Assert.True(UblkRecovery.Check(info, parameters, Export, Capacity).Limits.IsReadOnly);
    }

    [Fact]
    public void Device_of_another_program_is_refused()
    {
        (UblkDeviceInfo info, UblkParams parameters) = Device(Export);
        info.ServerFlags = 0;
        UblkException error = Assert.Throws<UblkException>(() => UblkRecovery.Check(info, parameters, Export, Capacity));
        Assert.Contains("not made by nbdfuse", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Device_without_recovery_is_refused()
    {
        (UblkDeviceInfo info, UblkParams parameters) = Device(Export, new UblkOptions { Recovery = false });
        UblkException error = Assert.Throws<UblkException>(() => UblkRecovery.Check(info, parameters, Export, Capacity));
        Assert.Contains("without recovery", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(4096, 1 << 20)]
    [InlineData(0, 4096)]
    [InlineData(128, 0)]
    [InlineData(256, 4096)]
    public void Numbers_that_would_take_too_much_are_refused(int depth, int payload)
    {
        (UblkDeviceInfo info, UblkParams parameters) = Device(Export);
        info.Depth = (ushort)depth;
        info.MaximumIo = (uint)payload;
        Assert.Throws<UblkException>(() => UblkRecovery.Check(info, parameters, Export, Capacity));
    }

    [Fact]
    public void Device_that_was_never_started_is_refused()
    {
        (UblkDeviceInfo info, UblkParams _) = Device(Export);
        Assert.Throws<UblkException>(() => UblkRecovery.Check(info, default, Export, Capacity));
    }

    [Fact]
    public async Task Recovery_is_tried_until_the_old_process_is_gone()
    {
        FakeUblkControl kernel = new();
        kernel.Results(UblkConstants.StartUserRecovery, -Errno.EBUSY, -Errno.EBUSY, -Errno.EBUSY, 0);
        using UblkControl control = new(kernel.Execute);

        await UblkDevice.BeginRecoveryAsync(control, 3, 30_000, CancellationToken.None);

        Assert.Equal(4, kernel.Count(UblkConstants.StartUserRecovery));
    }

    [Fact]
    public async Task Process_that_lives_on_is_named()
    {
        FakeUblkControl kernel = new() { Info = new UblkDeviceInfo { State = UblkState.Live, ServerPid = Environment.ProcessId } };
        kernel.Results(UblkConstants.StartUserRecovery, -Errno.EBUSY);
        using UblkControl control = new(kernel.Execute);

        UblkException error = await Assert.ThrowsAsync<UblkException>(
            () => UblkDevice.BeginRecoveryAsync(control, 3, 0, CancellationToken.None));

        Assert.Contains($"process {Environment.ProcessId} still serves it", error.Message, StringComparison.Ordinal);
        Assert.Equal(Errno.EBUSY, error.Errno);
    }

    [Fact]
    public async Task Recovery_that_died_half_way_is_gone_on_with()
    {
        FakeUblkControl kernel = new() { Info = new UblkDeviceInfo { State = UblkState.Quiesced, ServerPid = 1 } };
        kernel.Results(UblkConstants.StartUserRecovery, -Errno.EINVAL);
        using UblkControl control = new(kernel.Execute);

        await UblkDevice.BeginRecoveryAsync(control, 3, 0, CancellationToken.None);

        Assert.Equal(1, kernel.Count(UblkConstants.StartUserRecovery));
    }

    [Fact]
    public async Task Device_that_is_gone_is_said_to_be()
    {
        FakeUblkControl kernel = new();
        kernel.Results(UblkConstants.StartUserRecovery, -Errno.ENODEV);
        using UblkControl control = new(kernel.Execute);

        UblkException error = await Assert.ThrowsAsync<UblkException>(
            () => UblkDevice.BeginRecoveryAsync(control, 3, 30_000, CancellationToken.None));

        Assert.Contains("no such ublk device", error.Message, StringComparison.Ordinal);
    }

    private static (UblkDeviceInfo Info, UblkParams Parameters) Device(BlockDeviceInfo export, UblkOptions? options = null)
    {
        options ??= new UblkOptions();
        UblkGeometry geometry = UblkGeometry.Compute(export, options, Capacity);
        UblkDeviceInfo info = geometry.ToDeviceInfo(options with { DeviceId = 3 });
        return (info, geometry.Params);
    }
}
