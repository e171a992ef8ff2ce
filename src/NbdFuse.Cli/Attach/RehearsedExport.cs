using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>An export with its layers and a queue on a loop, without a front end: requests come from the control plane.</summary>
internal sealed class RehearsedExport : ITurnHook, IBlockCompletion, IAsyncDisposable
{
    private const int Capacity = 2;
    private const int Length = 4096;

    private readonly NbdExport _export;
    private readonly EventLoop _loop = new("nbdfuse-try", new EventLoopOptions { SpinMicroseconds = 0 });
    private readonly RequestQueue _queue;

    /// <summary>Starts.</summary>
    /// <param name="export">The export, at least 4 KiB; belongs to this object from here on.</param>
    public RehearsedExport(NbdExport export)
    {
        var ready = new ReadyList();
        _export = export;
        _queue = new RequestQueue(DeviceStack.Build(export, ready, Capacity), ready, new RequestQueueOptions { Capacity = Capacity });
        export.Start(_loop);
        _loop.AddTurnHook(this);
        _loop.Start();
    }

    /// <inheritdoc/>
    bool ITurnHook.WantsSpin => false;

    /// <summary>Sends a request for the first 4 KiB, and waits for its end, whatever that is.</summary>
    /// <param name="operation">What.</param>
    public async Task RunAsync(BlockOperation operation)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (_loop.Post(() => Submit(operation, done)))
        {
            await done.Task.ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    void ITurnHook.OnTurnEnd()
    {
        do
        {
            _queue.Ready.Run();
            _queue.EndTurn();
        }
        while (!_queue.Ready.IsEmpty);
    }

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        var done = (TaskCompletionSource)request.OwnerState!;
        _queue.Return(request);
        done.SetResult();
        return false;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _export.DisposeAsync().ConfigureAwait(false);
        _loop.Dispose();
    }

    private void Submit(BlockOperation operation, TaskCompletionSource done)
    {
        if (!_queue.TryRent(out BlockRequest? request))
        {
            done.SetResult();
            return;
        }

        request.Operation = operation;
        request.Length = operation == BlockOperation.Flush ? 0 : Length;
        request.Owner = this;
        request.OwnerState = done;
        if (operation is BlockOperation.Read or BlockOperation.Write)
        {
            request.Buffer = GC.AllocateArray<byte>(Length, pinned: true);
        }

        _queue.Submit(request, _loop.NowMs);
    }
}
