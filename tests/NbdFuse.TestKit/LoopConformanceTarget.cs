using NbdFuse.Block;
using NbdFuse.Native;

namespace NbdFuse.TestKit;

/// <summary>Drives a request queue on its event loop, as a front end does.</summary>
public sealed class LoopConformanceTarget : BlockConformanceTarget, ITurnHook, IDisposable
{
    private readonly EventLoop _loop;
    private readonly RequestQueue _queue;
    private readonly Queue<PendingOperation> _waiting = new();
    private readonly ManualResetEventSlim _removed = new();

    /// <summary>Makes the adapter. The loop runs already; the adapter is disposed before it.</summary>
    /// <param name="loop">The loop that owns the queue.</param>
    /// <param name="queue">The queue.</param>
    public LoopConformanceTarget(EventLoop loop, RequestQueue queue)
        : base(queue.Info)
    {
        _loop = loop;
        _queue = queue;
        if (!loop.Post(() => loop.AddTurnHook(this)))
        {
            throw new InvalidOperationException($"The loop '{loop.Name}' has ended.");
        }
    }

    /// <inheritdoc/>
    public bool WantsSpin => false;

    /// <summary>Runs completions and sends what they and the posts of this turn have queued.</summary>
    public void OnTurnEnd()
    {
        while (_waiting.TryPeek(out PendingOperation? operation) && TrySubmit(operation))
        {
            _waiting.Dequeue();
        }

        _queue.Ready.Run();
        _queue.EndTurn();
        if (!_queue.Ready.IsEmpty)
        {
            _loop.RequestAnotherPass();
        }
    }

    /// <summary>Takes the adapter off its loop.</summary>
    public void Dispose()
    {
        bool posted = _loop.Post(() =>
        {
            _loop.RemoveTurnHook(this);
            _removed.Set();
        });
        if (posted && !_removed.Wait(Deadline.Default))
        {
            throw new TimeoutException("The loop does not turn any more.");
        }

        _removed.Dispose();
    }

    private protected override void Start(PendingOperation operation)
    {
        if (!_loop.Post(() => _waiting.Enqueue(operation)))
        {
            operation.Completion.TrySetException(new InvalidOperationException($"The loop '{_loop.Name}' has ended."));
        }
    }

    private protected override void Release(BlockRequest request)
    {
        _queue.Return(request);
        if (_waiting.Count > 0)
        {
            _loop.RequestAnotherPass();
        }
    }

    private bool TrySubmit(PendingOperation operation)
    {
        if (!_queue.HasRoom(operation.Buffer.Length) || !_queue.TryRent(out BlockRequest? request))
        {
            return false;
        }

        Fill(request, operation);
        _queue.Submit(request, _loop.NowMs);
        return true;
    }
}
