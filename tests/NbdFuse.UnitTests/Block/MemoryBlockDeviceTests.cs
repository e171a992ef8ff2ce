using NbdFuse.Block;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Block;

public class MemoryBlockDeviceTests
{
    private readonly ReadyList _ready = new();

    public static TheoryData<string> Conformance =>
        [.. BlockConformance.All.Keys.Where(name => name != "read_only_refuses_writes")];

    [Theory]
    [MemberData(nameof(Conformance))]
    public async Task Memory_device_conforms(string name)
    {
        var device = new MemoryBlockDevice(8 << 20);
        await BlockConformance.RunAsync(name, new DirectConformanceTarget(device, _ready));
    }

    [Fact]
    public void Range_outside_is_refused_and_changes_nothing()
    {
        var device = new MemoryBlockDevice(1024);
        var caller = new Caller(device, _ready);
        caller.AssertEnded(caller.Write(1000, new byte[25]), BlockErrno.ENOSPC);
        caller.AssertEnded(caller.Submit(BlockOperation.Read, 1000, 25), BlockErrno.EINVAL);
    }

    [Fact]
    public void Read_only_device_refuses_changes()
    {
        var device = new MemoryBlockDevice(new BlockDeviceInfo { Size = 1024, IsReadOnly = true });
        var caller = new Caller(device, _ready);
        caller.AssertEnded(caller.Write(0, new byte[25]), BlockErrno.EROFS);
    }
}
