using NbdFuse.Block;
using NbdFuse.Cache;

namespace NbdFuse.UnitTests.Cache;

/// <summary>Readers over a cache over a link, in simulated time.</summary>
internal sealed class LinkBench : IBlockCompletion
{
    public static readonly BlockDeviceInfo Info = new() { Size = 1L << 40 };

    private readonly ReadyList _ready = new();
    private readonly HashSet<BlockRequest> _ended = [];
    private readonly byte[] _buffer = new byte[1 << 20];

    public LinkBench(long latencyUs, double bytesPerUs, int maximumPayload = int.MaxValue, long? aroundAbove = null)
    {
        Device = new LinkDevice(Info, Clock, latencyUs, bytesPerUs);
        var options = new BlockCacheOptions
        {
            CacheBytes = 1 << 20,
            ReadAheadBytes = 8 << 20,
            MaximumPayload = maximumPayload,
            AroundAboveMicroseconds = aroundAbove,
            Clock = Clock,
        };
        Cache = new BlockCache(Device, _ready, options, new ArrayCacheMemory(options.MemoryBytes));
    }

    public ManualClock Clock { get; } = new();

    public LinkDevice Device { get; }

    public BlockCache Cache { get; }

    public BlockCacheStatistics Statistics => Cache.Statistics;

    /// <summary>Reads one after the other.</summary>
    /// <returns>Bytes per microsecond.</returns>
    public double Run(IEnumerable<(long Offset, int Length)> reads, int depth = 1)
    {
        long begun = Clock.Microseconds;
        long bytes = 0;
        var inFlight = new Queue<BlockRequest>();
        foreach ((long offset, int length) in reads)
        {
            if (inFlight.Count == depth)
            {
                Wait(inFlight.Dequeue());
            }

            inFlight.Enqueue(Submit(offset, length));
            bytes += length;
            Turn();
        }

        while (inFlight.TryDequeue(out BlockRequest? request))
        {
            Wait(request);
        }

        return bytes / (double)Math.Max(1, Clock.Microseconds - begun);
    }

    /// <summary>Reads once and tells how long that took, in microseconds.</summary>
    public long Time(long offset, int length)
    {
        long begun = Clock.Microseconds;
        BlockRequest request = Submit(offset, length);
        Turn();
        Wait(request);
        return Clock.Microseconds - begun;
    }

    /// <summary>Lets everything that is under way arrive.</summary>
    public void Settle()
    {
        do
        {
            Turn();
        }
        while (Device.Next());
        Turn();
    }

    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        _ended.Add(request);
        return false;
    }

    private BlockRequest Submit(long offset, int length)
    {
        var request = new BlockRequest(_ready, 0)
        {
            Operation = BlockOperation.Read,
            Offset = offset,
            Length = length,
            Buffer = _buffer.AsMemory(0, length),
        };
        request.Push(this);
        Cache.Submit(request);
        return request;
    }

    private void Wait(BlockRequest request)
    {
        Turn();
        while (!_ended.Remove(request))
        {
            if (!Device.Next())
            {
                throw new InvalidOperationException("A read does not end.");
            }

            Turn();
        }
    }

    private void Turn()
    {
        _ready.Run();
        Cache.EndTurn();
        _ready.Run();
    }
}
