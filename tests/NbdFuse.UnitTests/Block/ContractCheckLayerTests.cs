using NbdFuse.Block;
using NbdFuse.Block.Layers;
using Xunit;

namespace NbdFuse.UnitTests.Block;

public class ContractCheckLayerTests
{
    private static readonly BlockDeviceInfo Info = new()
    {
        Size = 10_000,
        MinimumBlock = 512,
        MaximumPayload = 4096,
        MaximumZeroes = 8192,
        CanFlush = true,
        CanFua = true,
        CanTrim = true,
        CanWriteZeroes = true,
        CanFastZero = true,
        CanCache = true,
    };

    private static readonly BlockDeviceInfo Poor = new() { Size = 10_000 };

    private readonly ReadyList _ready = new();

    public static TheoryData<BlockOperation, long, long, BlockRequestFlags> Violations { get; } = new()
    {
        { BlockOperation.Read, 0, 0, 0 },
        { BlockOperation.Read, -512, 512, 0 },
        { BlockOperation.Read, 9728, 512, 0 },
        { BlockOperation.Read, 10, 502, 0 },
        { BlockOperation.Read, 0, 10, 0 },
        { BlockOperation.Read, 0, 4608, 0 },
        { BlockOperation.Write, 0, 4608, 0 },
        { BlockOperation.Trim, 0, 8704, 0 },
        { BlockOperation.WriteZeroes, 0, 8704, 0 },
        { BlockOperation.Cache, 0, 8704, 0 },
        { BlockOperation.Flush, 512, 0, 0 },
        { BlockOperation.Flush, 0, 512, 0 },
        { BlockOperation.Read, 0, 512, BlockRequestFlags.Fua },
        { BlockOperation.Flush, 0, 0, BlockRequestFlags.Fua },
        { BlockOperation.Write, 0, 512, BlockRequestFlags.NoHole },
        { BlockOperation.Trim, 0, 512, BlockRequestFlags.FastZero },
    };

    [Theory]
    [MemberData(nameof(Violations))]
    public void Violation_throws(BlockOperation operation, long offset, long length, BlockRequestFlags flags)
    {
        Caller caller = Make(Info);
        Assert.Throws<InvalidOperationException>(() => caller.Submit(operation, offset, length, flags, new byte[Math.Max(length, 0)]));
    }

    [Theory]
    [InlineData(BlockOperation.Flush, 0, BlockRequestFlags.None)]
    [InlineData(BlockOperation.Trim, 512, BlockRequestFlags.None)]
    [InlineData(BlockOperation.WriteZeroes, 512, BlockRequestFlags.None)]
    [InlineData(BlockOperation.Cache, 512, BlockRequestFlags.None)]
    [InlineData(BlockOperation.Write, 512, BlockRequestFlags.Fua)]
    public void What_the_device_does_not_offer_throws(BlockOperation operation, long length, BlockRequestFlags flags)
    {
        Caller caller = Make(Poor);
        Assert.Throws<InvalidOperationException>(() => caller.Submit(operation, 0, length, flags));
    }

    [Fact]
    public void Fast_zero_that_is_not_offered_throws()
    {
        Caller caller = Make(Info with { CanFastZero = false });
        Assert.Throws<InvalidOperationException>(() => caller.Submit(BlockOperation.WriteZeroes, 0, 512, BlockRequestFlags.FastZero));
    }

    [Fact]
    public void Buffer_of_another_length_throws()
    {
        Caller caller = Make(Info);
        Assert.Throws<InvalidOperationException>(() => caller.Submit(BlockOperation.Read, 0, 512, 0, new byte[511]));
    }

    [Theory]
    [InlineData(BlockOperation.Write)]
    [InlineData(BlockOperation.Trim)]
    [InlineData(BlockOperation.WriteZeroes)]
    public void Change_of_a_read_only_device_throws(BlockOperation operation)
    {
        Caller caller = Make(Info with { IsReadOnly = true });
        Assert.Throws<InvalidOperationException>(() => caller.Submit(operation, 0, 512));
    }

    [Fact]
    public void Request_that_is_in_flight_already_throws()
    {
        var device = new DeferringDevice(Info);
        var layer = new ContractCheckLayer(device);
        BlockRequest request = new Caller(layer, _ready).Submit(BlockOperation.Read, 0, 512);
        Assert.Equal(1, layer.InFlight);
        Assert.Throws<InvalidOperationException>(() => layer.Submit(request));
    }

    [Theory]
    [InlineData(-5)]
    [InlineData(4096)]
    public void Error_that_is_no_errno_throws(int error)
    {
        var device = new DeferringDevice(Info);
        new Caller(new ContractCheckLayer(device), _ready).Submit(BlockOperation.Read, 0, 512);
        device.End(0, error);
        Assert.Throws<InvalidOperationException>(_ready.Run);
    }

    [Fact]
    public void Everything_that_is_allowed_passes()
    {
        var device = new DeferringDevice(Info);
        var layer = new ContractCheckLayer(device);
        var caller = new Caller(layer, _ready);
        caller.Submit(BlockOperation.Read, 9728, 272);
        caller.Submit(BlockOperation.Write, 0, 4096, BlockRequestFlags.Fua);
        caller.Submit(BlockOperation.Flush);
        caller.Submit(BlockOperation.Trim, 0, 8192, BlockRequestFlags.Fua);
        caller.Submit(BlockOperation.WriteZeroes, 0, 8192, BlockRequestFlags.Fua | BlockRequestFlags.NoHole | BlockRequestFlags.FastZero);
        caller.Submit(BlockOperation.Cache, 0, 8192);
        while (device.Held.Count > 0)
        {
            device.End(0, BlockErrno.EIO);
        }

        _ready.Run();
        Assert.Equal(6, caller.Ended.Count);
        Assert.Equal(0, layer.InFlight);
    }

    private Caller Make(BlockDeviceInfo info) => new(new ContractCheckLayer(new DeferringDevice(info)), _ready);
}
