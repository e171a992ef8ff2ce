using NbdFuse.Block;

namespace NbdFuse.UnitTests.Cache;

/// <summary>A device behind a link with a latency and a bandwidth, in simulated time. Content: none.</summary>
internal sealed class LinkDevice(BlockDeviceInfo info, ManualClock clock, long latencyUs, double bytesPerUs) : IBlockDevice
{
    private readonly PriorityQueue<BlockRequest, long> _due = new();
    private double _linkFreeAt;

    public BlockDeviceInfo Info { get; } = info;

    public int MostInFlight { get; private set; }

    public List<SeenRead> Seen { get; } = [];

    public int InFlight => _due.Count;

    public void Submit(BlockRequest request)
    {
        _linkFreeAt = Math.Max(_linkFreeAt, clock.Microseconds + latencyUs) + (request.Length / bytesPerUs);
        _due.Enqueue(request, (long)_linkFreeAt);
        MostInFlight = Math.Max(MostInFlight, _due.Count);
        Seen.Add(new SeenRead(request.Offset, request.Length, clock.Microseconds));
    }

    public void EndTurn()
    {
    }

    /// <summary>Lets time pass until the next reply, and gives it.</summary>
    public bool Next()
    {
        if (!_due.TryDequeue(out BlockRequest? request, out long due))
        {
            return false;
        }

        clock.Microseconds = Math.Max(clock.Microseconds, due);
        request.Complete(0);
        return true;
    }

    internal readonly record struct SeenRead(long Offset, long Length, long Time);
}
