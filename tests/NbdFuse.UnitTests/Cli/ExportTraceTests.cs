using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Block;
using NbdFuse.Cache;
using NbdFuse.Cli;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Block;
using Xunit;

namespace NbdFuse.UnitTests.Cli;

public sealed class ExportTraceTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly ReadyList _ready = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task What_one_reader_has_read_is_read_ahead_of_the_next()
    {
        MemoryBlockDevice device = new(1 << 20);
        await using (ExportLayers layers = Over(device, ExportTraces.Load(null, _directory["trace"])))
        {
            var caller = new Caller(layers.Device, _ready);
            caller.AssertEnded(caller.Submit(BlockOperation.Read, 8192, 4096));
            caller.AssertEnded(caller.Submit(BlockOperation.Read, 0, 512));
        }

        var traces = ExportTraces.Load(_directory["trace"], null);
        Assert.Equal([(2L, 1), (0L, 1)], Enumerable.Range(0, traces.Prefetch!.Count).Select(i => traces.Prefetch[i]));
        await using ExportLayers next = Over(device, traces);
        var cache = Assert.IsType<BlockCache>(next.Device);
        cache.EndTurn();
        _ready.Run();
        Assert.Equal((2, 8192), (cache.Statistics.Prefetches, cache.Statistics.HeldBytes));
    }

    [Fact]
    public async Task Trace_of_another_size_is_left_aside()
    {
        AccessTrace.Of(2 << 20, [(0, 1)]).Write(_directory["trace"]);
        MemoryBlockDevice device = new(1 << 20);
        await using ExportLayers layers = Over(device, ExportTraces.Load(_directory["trace"], null));
        Assert.Same(device, layers.Device);
    }

    [Fact]
    public async Task Trace_that_cannot_be_written_costs_nothing_but_the_trace()
    {
        string path = Directory.CreateDirectory(_directory["a"]).FullName;
        await using ExportLayers layers = Over(new MemoryBlockDevice(1 << 20), ExportTraces.Load(null, Path.Combine(path, "trace")));
        Directory.Delete(path);
        var caller = new Caller(layers.Device, _ready);
        caller.AssertEnded(caller.Submit(BlockOperation.Read, 8192, 4096));
    }

    [Fact]
    public void What_is_no_trace_or_has_no_directory_is_told_before_anything_is_done()
    {
        Assert.Throws<AccessTraceException>(() => ExportTraces.Load("/proc/version", null));
        Assert.ThrowsAny<IOException>(() => ExportTraces.Load(_directory["missing"], null));
        Assert.ThrowsAny<IOException>(() => ExportTraces.Load(null, _directory["missing/trace"]));
    }

    [Theory]
    [InlineData("MemTotal:        196608 kB\nMemFree: 1 kB\n", 12 << 20)]
    [InlineData("MemTotal:        8388608 kB\n", 32 << 20)]
    [InlineData("MemTotal:        4096 kB\n", 1 << 20)]
    [InlineData("something else\n", 32 << 20)]
    [InlineData("MemTotal: x kB\n", 32 << 20)]
    public void Memory_is_a_small_part_of_the_machine(string text, long bytes)
    {
        File.WriteAllText(_directory["meminfo"], text);
        Assert.Equal(bytes, ExportTraces.MemoryBytes(_directory["meminfo"]));
    }

    [Theory]
    [InlineData("MemTotal:        196608 kB\n", 0)]
    [InlineData("MemTotal:        470000 kB\n", 15_040_512)]
    [InlineData("MemTotal:        8388608 kB\n", 16 << 20)]
    public void Reading_around_at_boot_takes_little_memory_and_none_where_there_is_little(string text, long bytes)
    {
        File.WriteAllText(_directory["meminfo"], text);
        Assert.InRange(ExportTraces.AroundBytesAtBoot(_directory["meminfo"]), bytes * 99 / 100, bytes * 101 / 100);
    }

    private ExportLayers Over(IBlockDevice device, ExportTraces traces) =>
        ExportLayers.Over(device, device.Info, _ready, 0, 0, traces, NullLogger.Instance);
}
