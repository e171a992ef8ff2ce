using NbdFuse.Block;

namespace NbdFuse.TestKit;

/// <summary>
/// Drives a stack that needs no loop. An operation is submitted by its caller and pumped a little later on the pool, so that
/// operations which are started together are in flight together.
/// </summary>
/// <remarks>THREADING: one lock stands for the loop's thread.</remarks>
public sealed class DirectConformanceTarget : BlockConformanceTarget
{
    private readonly IBlockDevice _device;
    private readonly ReadyList _ready;
    private readonly Stack<BlockRequest> _free = new();
    private readonly Lock _loop = new();
    private int _lastTag;

    /// <summary>Makes the adapter.</summary>
    /// <param name="device">Top of the stack.</param>
    /// <param name="ready">Its ready list.</param>
    public DirectConformanceTarget(IBlockDevice device, ReadyList ready)
        : base(device.Info)
    {
        _device = device;
        _ready = ready;
    }

    private protected override void Start(PendingOperation operation)
    {
        lock (_loop)
        {
            // The queue's part of the contract: ranges are checked, nothing of zero length goes down.
            if (operation.Operation != BlockOperation.Flush)
            {
                if (operation.Offset > Size || operation.Length > Size - operation.Offset)
                {
                    operation.Completion.TrySetResult(BlockErrno.EINVAL);
                    return;
                }

                if (operation.Length == 0)
                {
                    operation.Completion.TrySetResult(0);
                    return;
                }
            }

            if (!_free.TryPop(out BlockRequest? request))
            {
                request = new BlockRequest(_ready, _lastTag++);
            }

            request.Reset();
            Fill(request, operation);
            request.Push(this);
            _device.Submit(request);
        }

        Task.Run(Pump);
    }

    private void Pump()
    {
        lock (_loop)
        {
            do
            {
                _ready.Run();
                _device.EndTurn();
            }
            while (!_ready.IsEmpty);
        }
    }

    private protected override void Release(BlockRequest request) => _free.Push(request);
}
