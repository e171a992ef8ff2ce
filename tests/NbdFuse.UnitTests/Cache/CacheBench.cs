using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.Cache;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Block;
using Xunit;

namespace NbdFuse.UnitTests.Cache;

/// <summary>A cache over a device that a test controls, with a front end above it.</summary>
internal sealed class CacheBench
{
    public const int Granule = 4096;

    public static readonly BlockDeviceInfo Info = new()
    {
        Size = (4 << 20) + 100,
        CanFlush = true,
        CanFua = true,
        CanTrim = true,
        CanWriteZeroes = true,
        CanFastZero = true,
        CanCache = true,
    };

    public CacheBench(
        long cacheBytes = 1 << 20, long readAheadBytes = 0, BlockDeviceInfo? info = null, AccessTrace? trace = null, long prefetchBytes = 1 << 20)
    {
        Device = new RacyDevice(info ?? Info);
        PatternData.Fill(Device.Content, 1, 0);
        var options = new BlockCacheOptions
        {
            CacheBytes = cacheBytes,
            ReadAheadBytes = readAheadBytes,
            Clock = Clock,
            Prefetch = trace,
            PrefetchBytes = prefetchBytes,
        };
        Memory = new ArrayCacheMemory(options.MemoryBytes);
        Cache = new BlockCache(new ContractCheckLayer(Device), Ready, options, Memory);
        Caller = new Caller(new ContractCheckLayer(Cache), Ready);
    }

    public ManualClock Clock { get; } = new();

    public ReadyList Ready { get; } = new();

    public RacyDevice Device { get; }

    public ArrayCacheMemory Memory { get; }

    public BlockCache Cache { get; }

    public Caller Caller { get; }

    public BlockCacheStatistics Statistics => Cache.Statistics;

    public BlockRequest Read(long offset, int length = Granule) => Caller.Submit(BlockOperation.Read, offset, length);

    public BlockRequest Write(long offset, int length = Granule, byte fill = 0x77)
    {
        byte[] data = new byte[length];
        data.AsSpan().Fill(fill);
        return Caller.Write(offset, data);
    }

    /// <summary>Reads so that the granules are kept.</summary>
    public void Warm(long offset, int length = Granule)
    {
        BlockRequest read = Read(offset, length);
        EndAll();
        Caller.AssertEnded(read);
    }

    /// <summary>Runs completions and the turn's end, then ends everything below, until nothing is left.</summary>
    public void EndAll()
    {
        Turn();
        while (Device.Waiting.Count + Device.Executed.Count > 0)
        {
            if (Device.Executed.Count > 0)
            {
                Device.Reply(0);
            }
            else
            {
                Device.End();
            }

            Turn();
        }
    }

    public void Turn()
    {
        Ready.Run();
        Cache.EndTurn();
        Ready.Run();
    }

    /// <summary>A read must have ended well with what the device holds now.</summary>
    public void AssertCurrent(BlockRequest read)
    {
        Caller.AssertEnded(read);
        PatternData.AssertEqual(Device.Content.Slice((int)read.Offset, (int)read.Length), read.Buffer.Span, read.Offset);
    }

    /// <summary>A read of the range must be answered without going down.</summary>
    public void AssertHeld(long offset, int length = Granule)
    {
        int reads = Device.Reads;
        BlockRequest read = Read(offset, length);
        AssertCurrent(read);
        Assert.Equal(reads, Device.Reads);
    }

    /// <summary>A read of the range must go down.</summary>
    public void AssertNotHeld(long offset, int length = Granule)
    {
        int reads = Device.Reads;
        BlockRequest read = Read(offset, length);
        Assert.Equal(reads + 1, Device.Reads);
        EndAll();
        AssertCurrent(read);
    }
}
