using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

/// <summary>An export under its stack of layers and a queue, on a loop: what a front end sees.</summary>
internal sealed class ExportDriver : ITurnHook, IBlockCompletion, IAsyncDisposable
{
    private readonly EventLoop _loop = new("test loop", new EventLoopOptions { SpinMicroseconds = 0 });
    private readonly RequestQueue _queue;
    private Action? _atTurnEnd;

    public ExportDriver(NbdExport export, bool checkContract = true)
    {
        Export = export;
        var ready = new ReadyList();
        var options = new RequestQueueOptions { Capacity = 512, Bytes = 1 << 30 };
        _queue = new RequestQueue(DeviceStack.Build(export, ready, options.Capacity, checkContract), ready, options);
        export.Start(_loop);
        _loop.AddTurnHook(this);
        _loop.Start();
    }

    public NbdExport Export { get; }

    public bool WantsSpin => false;

    /// <summary>Requests that have not ended.</summary>
    public int InFlight => _queue.InFlight;

    /// <summary>Takes over the size that the export has grown to, as a front end does.</summary>
    public Task AdoptSize()
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(() =>
        {
            _queue.AdoptSize();
            done.SetResult();
        });
        return done.Task;
    }

    /// <summary>Starts an operation.</summary>
    /// <returns>Its error, when it has ended.</returns>
    public Task<int> Run(BlockOperation operation, long offset = 0, long length = 0, BlockRequestFlags flags = 0, byte[]? buffer = null) =>
        Begin(operation, offset, length, flags, buffer).Ended;

    /// <summary>Starts an operation that can be abandoned.</summary>
    public (Task<int> Ended, Action Abandon) Begin(
        BlockOperation operation, long offset = 0, long length = 0, BlockRequestFlags flags = 0, byte[]? buffer = null)
    {
        var done = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        BlockRequest? started = null;
        bool posted = _loop.Post(() =>
        {
            Assert.True(_queue.TryRent(out BlockRequest? request));
            started = request;
            request.Operation = operation;
            request.Offset = offset;
            request.Length = length;
            request.Flags = flags;
            request.Owner = this;
            request.OwnerState = done;
            if (operation is BlockOperation.Read or BlockOperation.Write)
            {
                request.Buffer = buffer ?? GC.AllocateArray<byte>((int)length, pinned: true);
            }

            _queue.Submit(request, 0);
        });
        Assert.True(posted);
        return (Deadline.Within(done.Task, $"{operation} at {offset}"), () => _loop.Post(() => _queue.Abandon(started!)));
    }

    /// <summary>Runs something on the loop, and waits for the end of its turn.</summary>
    public async Task OnLoop(Action action)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Assert.True(_loop.Post(action));
        Assert.True(_loop.Post(() => _loop.Post(done.SetResult)));
        await Deadline.Within(done.Task, "the loop");
    }

    /// <summary>Runs something at the end of a turn, after the posted actions, and before the device is told of the end.</summary>
    public Task AtTurnEnd(Action action)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Assert.True(_loop.Post(() => _atTurnEnd = () =>
        {
            action();
            done.SetResult();
        }));
        return Deadline.Within(done.Task, "the end of a turn");
    }

    public async Task<byte[]> Read(long offset, int length)
    {
        byte[] buffer = GC.AllocateArray<byte>(length, pinned: true);
        Assert.Equal(0, await Run(BlockOperation.Read, offset, length, 0, buffer));
        return buffer;
    }

    public async Task Write(long offset, int length, ulong seed)
    {
        byte[] buffer = GC.AllocateArray<byte>(length, pinned: true);
        PatternData.Fill(buffer, seed, offset);
        Assert.Equal(0, await Run(BlockOperation.Write, offset, length, 0, buffer));
    }

    public void OnTurnEnd()
    {
        Interlocked.Exchange(ref _atTurnEnd, null)?.Invoke();
        do
        {
            _queue.Ready.Run();
            _queue.EndTurn();
        }
        while (!_queue.Ready.IsEmpty);
    }

    public bool OnCompleted(BlockRequest request, long state)
    {
        var done = (TaskCompletionSource<int>)request.OwnerState!;
        int error = request.Error;
        _queue.Return(request);
        if (!done.TrySetResult(error))
        {
            throw new InvalidOperationException("A request ended twice.");
        }

        return false;
    }

    public async ValueTask DisposeAsync()
    {
        await Export.DisposeAsync();
        _loop.Stop();
        await Task.Run(_loop.Join);
        Exception? failure = _loop.Failure;
        _loop.Dispose();
        Assert.Null(failure);
    }
}
