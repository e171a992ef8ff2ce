using NbdFuse.Block;

namespace NbdFuse.RealServerTests;

/// <summary>A request that knows how often it has ended.</summary>
internal sealed class CountedRequest(RequestQueue queue, byte[] buffer) : IBlockCompletion
{
    private readonly TaskCompletionSource<int> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _ends;

    public byte[] Buffer { get; } = buffer;

    /// <summary>The errno of the first end.</summary>
    public Task<int> Ended => _ended.Task;

    public int Ends => Volatile.Read(ref _ends);

    public bool OnCompleted(BlockRequest request, long state)
    {
        int error = request.Error;
        Interlocked.Increment(ref _ends);
        queue.Return(request);
        _ended.TrySetResult(error);
        return false;
    }
}
