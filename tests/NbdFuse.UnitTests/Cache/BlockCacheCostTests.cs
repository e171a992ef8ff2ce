using System.Diagnostics;
using NbdFuse.Block;
using NbdFuse.Cache;
using Xunit;

namespace NbdFuse.UnitTests.Cache;

public sealed class BlockCacheCostTests : IBlockCompletion
{
    private const int Granule = 4096;
    private readonly ReadyList _ready = new();
    private int _errors;

    [Fact]
    public void Nothing_is_allocated_per_request()
    {
        (RequestQueue queue, BlockCache cache) = Make(64 << 20, 1 << 20);
        byte[] buffer = GC.AllocateArray<byte>(128 << 10, pinned: true);
        var random = new Random(1);
        long stream = 0;
        Rounds(200);
        long least = long.MaxValue;
        for (int window = 0; window < 5; window++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Rounds(100);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
        Assert.Equal(0, _errors);
        Assert.True(queue.IsIdle);
        BlockCacheStatistics statistics = cache.Statistics;
        Assert.All(
            new[]
            {
                statistics.Hits, statistics.Misses, statistics.Coalesced, statistics.JoinedPrefetches, statistics.Bypassed,
                statistics.Evictions, statistics.Invalidations, statistics.Partial,
            },
            count => Assert.NotEqual(0, count));

        void Rounds(int count)
        {
            for (int round = 0; round < count; round++)
            {
                for (int i = 0; i < 8; i++)
                {
                    long hot = random.Next(300) * (long)Granule;
                    Start(BlockOperation.Read, hot, Granule);
                    Start(BlockOperation.Read, hot + 100, 1000);
                    Start(BlockOperation.Read, random.Next(15_000) * (long)Granule, 3 * Granule);
                    Start(BlockOperation.Read, stream, 16 << 10);
                    Start(BlockOperation.Read, random.Next(100) * (64L << 10), 128 << 10);
                    Start(BlockOperation.Write, random.Next(300) * (long)Granule, Granule);
                    stream = (stream + (16 << 10)) % (60 << 20);
                }

                Start(BlockOperation.Trim, random.Next(300) * (long)Granule, Granule);
                queue.EndTurn();
                _ready.Run();
                queue.EndTurn();
                _ready.Run();
            }
        }

        void Start(BlockOperation operation, long offset, int length)
        {
            queue.TryRent(out BlockRequest? request);
            request!.Operation = operation;
            request.Offset = offset;
            request.Length = length;
            request.Owner = this;
            request.OwnerState = queue;
            if (operation != BlockOperation.Trim)
            {
                request.Buffer = buffer.AsMemory(0, length);
            }

            queue.Submit(request, 0);
        }
    }

    [Fact]
    public void Cost_of_a_request_is_told()
    {
        // A measurement, for docs/CACHE.md; what is asserted is only that it measured something.
        string text = string.Join(
            Environment.NewLine,
            Measure("random 4 KiB, no cache", 0, 0, hot: false),
            Measure("random 4 KiB, read-ahead only", 0, 8 << 20, hot: false),
            Measure("random 4 KiB, cache and read-ahead", 8 << 20, 8 << 20, hot: false),
            Measure("hot 4 KiB, cache and read-ahead", 8 << 20, 8 << 20, hot: true));
        TestContext.Current.TestOutputHelper?.WriteLine(text);
        Assert.Equal(0, _errors);
    }

    public bool OnCompleted(BlockRequest request, long state)
    {
        _errors += request.Error == 0 ? 0 : 1;
        ((RequestQueue)request.OwnerState!).Return(request);
        return false;
    }

    private string Measure(string name, int cacheBytes, int readAheadBytes, bool hot)
    {
        const int Requests = 100_000;
        (RequestQueue queue, BlockCache cache) = Make(1 << 30, cacheBytes, readAheadBytes);
        byte[] buffer = GC.AllocateArray<byte>(Granule * 32, pinned: true);
        long granules = hot ? 1000 : (1 << 30) / Granule;
        double best = double.MaxValue;
        for (int run = 0; run < 5; run++)
        {
            var random = new Random(run);
            long begun = Stopwatch.GetTimestamp();
            for (int i = 0; i < Requests; i += 32)
            {
                for (int j = 0; j < 32; j++)
                {
                    queue.TryRent(out BlockRequest? request);
                    request!.Operation = BlockOperation.Read;
                    request.Offset = random.NextInt64(granules) * Granule;
                    request.Length = Granule;
                    request.Owner = this;
                    request.OwnerState = queue;
                    request.Buffer = buffer.AsMemory(j * Granule, Granule);
                    queue.Submit(request, 0);
                }

                queue.EndTurn();
                _ready.Run();
            }

            best = Math.Min(best, Stopwatch.GetElapsedTime(begun).TotalNanoseconds / Requests);
        }

        return $"{name}: {best:F0} ns per request, {cache.Statistics.Hits} hits, {cache.Statistics.Rejections} not let in";
    }

    private (RequestQueue Queue, BlockCache Cache) Make(int size, int cacheBytes, int readAheadBytes = 1 << 20)
    {
        var options = new BlockCacheOptions { CacheBytes = cacheBytes, ReadAheadBytes = readAheadBytes };
        var device = new InstantDevice(new BlockDeviceInfo { Size = size, CanFlush = true, CanTrim = true });
        var cache = new BlockCache(device, _ready, options, new ArrayCacheMemory(options.MemoryBytes));
        return (new RequestQueue(cache, _ready, new RequestQueueOptions { Capacity = 64 }), cache);
    }

    /// <summary>Answers at once and moves no data, so that only the cache is measured.</summary>
    private sealed class InstantDevice(BlockDeviceInfo info) : IBlockDevice
    {
        public BlockDeviceInfo Info { get; } = info;

        public void Submit(BlockRequest request) => request.Complete(0);

        public void EndTurn()
        {
        }
    }
}
