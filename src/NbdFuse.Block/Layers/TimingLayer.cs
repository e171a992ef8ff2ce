namespace NbdFuse.Block.Layers;

/// <summary>
/// Directly over an export: counts what it is asked, how long it takes, and how long requests had waited above it. What the queue
/// counts besides is the time in the layers between, and in the cache.
/// </summary>
/// <remarks>THREADING: the loop's thread only, but for the counters. Nothing is allocated per request.</remarks>
/// <param name="lower">The export.</param>
public sealed class TimingLayer(IBlockDevice lower) : IBlockDevice, IBlockCompletion, IRequestWithdrawal
{
    private TurnClock _clock;

    /// <inheritdoc/>
    public BlockDeviceInfo Info => lower.Info;

    /// <summary>Requests of callers and of layers that have ended, by kind.</summary>
    public OperationStatistics Operations { get; } = new();

    /// <summary>
    /// How long requests of callers waited between the queue and the export: for others that overlap them. Parts of one that was
    /// cut do not count, nor does what the cache reads.
    /// </summary>
    public LatencyHistogram Wait { get; } = new();

    /// <inheritdoc/>
    public void Submit(BlockRequest request)
    {
        long now = _clock.Now();
        if (request.StartedTicks != 0)
        {
            Wait.Add(now - request.StartedTicks);
        }

        request.Push(this, now);
        lower.Submit(request);
    }

    /// <inheritdoc/>
    public void EndTurn()
    {
        _clock.EndTurn();
        lower.EndTurn();
    }

    /// <inheritdoc/>
    public void AdoptSize() => lower.AdoptSize();

    /// <inheritdoc/>
    public bool TryWithdraw(BlockRequest request) => lower is IRequestWithdrawal withdrawal && withdrawal.TryWithdraw(request);

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        Operations.Count(request, _clock.Now() - state);
        return true;
    }
}
