using NbdFuse.Block;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Block;

/// <summary>A device that grows under the layers.</summary>
public sealed class GrowthTests
{
    private static readonly BlockDeviceInfo Small = new()
    {
        Size = 1000,
        MinimumBlock = 512,
        CanFlush = true,
        CanFua = true,
        CanTrim = true,
        CanWriteZeroes = true,
    };

    private readonly ReadyList _ready = new();

    [Fact]
    public void Stack_takes_over_the_size_and_reaches_all_of_it()
    {
        var device = new DeferringDevice(Small);
        IBlockDevice stack = DeviceStack.Build(device, _ready, 16, checkContract: true);
        var caller = new Caller(stack, _ready);
        device.Grow(4096);
        Assert.Equal(1000, stack.Info.Size);
        stack.AdoptSize();
        Assert.Equal(4096, stack.Info.Size);
        Assert.Equal(1, stack.Info.MinimumBlock);

        byte[] data = PatternData.Create(1, 0, 1500);
        BlockRequest write = caller.Write(900, data);
        while (device.Held.Count > 0)
        {
            device.End();
            _ready.Run();
        }

        caller.AssertEnded(write);
        PatternData.AssertEqual(data, device.Content[900..2400]);
        Assert.All(device.Seen, seen => Assert.True(seen.Offset % 512 == 0 && seen.Length % 512 == 0, $"{seen}"));
    }

    [Fact]
    public void Change_of_the_short_last_block_that_is_under_way_ends_as_it_began()
    {
        var device = new DeferringDevice(Small);
        IBlockDevice stack = DeviceStack.Build(device, _ready, 16);
        var caller = new Caller(stack, _ready);
        PatternData.Fill(device.Content, 1, 0);
        byte[] model = device.Content.ToArray();
        BlockRequest write = caller.Write(700, PatternData.Create(2, 0, 100));
        Assert.Equal(488, device.Held[0].Length);

        device.Grow(2048);
        stack.AdoptSize();
        device.End();
        _ready.Run();
        Assert.Equal((512, 488), (device.Held[0].Offset, device.Held[0].Length));
        device.End();
        caller.AssertEnded(write);
        PatternData.Create(2, 0, 100).CopyTo(model, 700);
        PatternData.AssertEqual(model, device.Content[..1000]);
    }
}
