using NbdFuse.Block;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Ublk;

/// <summary>The conformance list over the ublk front end, with and without layers that it needs.</summary>
public sealed class UblkConformanceTests
{
    public static TheoryData<string> Names => BlockConformance.Names;

    public static TheoryData<string> ReadOnlyNames => BlockConformance.ReadOnlyNames;

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Ublk_queue_over_memory(string name)
    {
        using FakeUblkKernel kernel = new(layers: true);
        await BlockConformance.RunAsync(name, new UblkConformanceTarget(kernel));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Ublk_queue_over_blocks_of_4096_bytes_and_short_payloads(string name)
    {
        using FakeUblkKernel kernel = new(
            new BlockDeviceInfo
            {
                Size = FakeUblkKernel.Size,
                MinimumBlock = 4096,
                MaximumPayload = 64 * 1024,
                CanFlush = true,
                CanWriteZeroes = true,
            },
            layers: true);
        await BlockConformance.RunAsync(name, new UblkConformanceTarget(kernel));
    }

    [Theory]
    [MemberData(nameof(ReadOnlyNames))]
    public async Task Ublk_queue_over_a_read_only_device(string name)
    {
        using FakeUblkKernel kernel = new(FakeUblkKernel.DefaultInfo with { IsReadOnly = true }, layers: true);
        await BlockConformance.RunAsync(name, new UblkConformanceTarget(kernel));
    }
}
