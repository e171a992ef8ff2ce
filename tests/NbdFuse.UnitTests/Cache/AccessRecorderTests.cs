using NbdFuse.Block;
using NbdFuse.Cache;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Block;
using Xunit;

namespace NbdFuse.UnitTests.Cache;

public class AccessRecorderTests
{
    private readonly ReadyList _ready = new();
    private readonly AccessRecorder _recorder;
    private readonly Caller _caller;

    public AccessRecorderTests()
    {
        _recorder = new AccessRecorder(new MemoryBlockDevice(CacheBench.Info));
        _caller = new Caller(_recorder, _ready);
    }

    public static TheoryData<string> Names => BlockConformance.Names;

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Recorder_behaves_like_every_other_device(string name) =>
        await BlockConformance.RunAsync(name, new DirectConformanceTarget(_recorder, _ready));

    [Fact]
    public void Reads_are_recorded_in_their_order_as_whole_granules_and_nothing_else_is()
    {
        Read(40960, 4096);
        _caller.Write(0, new byte[4096]);
        Read(100, 1);
        Read(8191, 2);
        Read(CacheBench.Info.Size - 1, 1);
        _recorder.Close();

        Assert.Equal([(10L, 1), (0L, 3), (1024L, 1)], Recorded());
        Assert.Equal(CacheBench.Info.Size, _recorder.Snapshot().Size);
    }

    [Fact]
    public void What_goes_on_in_order_is_one_range_of_bounded_length()
    {
        for (int i = 0; i < 600; i++)
        {
            Read(i * 4096, 4096);
        }

        Read(0, 3 << 20);
        _recorder.Close();

        Assert.Equal([(0L, 256), (256L, 256), (512L, 88), (600L, 168)], Recorded());
    }

    [Fact]
    public void Snapshot_has_all_but_the_range_that_may_go_on()
    {
        Read(0, 4096);
        Read(40960, 4096);

        Assert.Equal([(0L, 1)], Recorded());
        Read(0, 4096);
        Assert.Equal([(0L, 1), (10L, 1)], Recorded());
    }

    [Fact]
    public void Full_recorder_passes_reads_on_and_allocates_nothing()
    {
        var request = new BlockRequest(_ready, 0) { Buffer = new byte[4096] };
        Run(100);

        // The runtime itself allocates now and then; what requests cost shows in every window.
        long least = long.MaxValue;
        for (int window = 0; window < 5; window++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Run((AccessRecorder.Capacity / 4) + 100);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
        Assert.True(_recorder.IsFull);
        Assert.Equal(2, _recorder.Snapshot().Count);

        void Run(int count)
        {
            for (int i = 0; i < count; i++)
            {
                request.Operation = BlockOperation.Read;
                request.Offset = i % 2 * 40960;
                request.Length = 4096;
                request.Push(_caller);
                _recorder.Submit(request);
                _ready.Run();
                _caller.Ended.Clear();
            }
        }
    }

    private void Read(long offset, int length) => _caller.AssertEnded(_caller.Submit(BlockOperation.Read, offset, length));

    private (long Granule, int Count)[] Recorded()
    {
        AccessTrace trace = _recorder.Snapshot();
        return [.. Enumerable.Range(0, trace.Count).Select(i => trace[i])];
    }
}
