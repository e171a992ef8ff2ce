using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Native;

namespace NbdFuse.Examples;

/// <summary>The smallest front end: one read at a time, awaited from outside of the loop.</summary>
internal sealed class RangeReader : ITurnHook, IBlockCompletion
{
    private readonly EventLoop _loop;
    private readonly ReadyList _ready = new();
    private readonly RequestQueue _queue;
    private TaskCompletionSource<int>? _done;

    public RangeReader(EventLoop loop, NbdExport export)
    {
        _loop = loop;
        _queue = new RequestQueue(DeviceStack.Build(export, _ready, capacity: 1), _ready, new RequestQueueOptions { Capacity = 1 });
        loop.AddTurnHook(this);
    }

    public bool WantsSpin => false;

    /// <summary>Reads one range; gives the errno, 0 on success.</summary>
    public Task<int> ReadAsync(long offset, Memory<byte> buffer)
    {
        _done = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(() =>
        {
            if (_queue.TryRent(out BlockRequest? request))
            {
                (request.Offset, request.Length, request.Buffer, request.Owner) = (offset, buffer.Length, buffer, this);
                _queue.Submit(request, _loop.NowMs);
            }
        });
        return _done.Task;
    }

    /// <summary>Ends a turn of the loop: completions run, requests go out.</summary>
    public void OnTurnEnd()
    {
        do
        {
            _ready.Run();
            _queue.EndTurn();
        }
        while (!_ready.IsEmpty);
    }

    public bool OnCompleted(BlockRequest request, long state)
    {
        int error = request.Error;
        _queue.Return(request);
        _done!.SetResult(error);
        return false;
    }
}
