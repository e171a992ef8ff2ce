using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

internal sealed partial class UblkQueue
{
    // A FLUSH of our own; tags are smaller.
    private const ulong OwnFlush = ulong.MaxValue;

    private long _writes;
    private long _flushedWrites;

    /// <inheritdoc/>
    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        if (request.Token == OwnFlush)
        {
            OnOwnFlush(request);
            return false;
        }

        int tag = (int)request.Token;
        ref UblkTag owner = ref _tags[tag];
        if (request.Error == 0)
        {
            if (request.IsMutating)
            {
                // Abandoned ones too: they are on the device.
                _writes++;
            }
            else if (request.Operation == BlockOperation.Flush)
            {
                _flushedWrites = Math.Max(_flushedWrites, owner.WritesBefore);
            }
        }

        owner.Request = null;
        if (request.TryClaimAnswer())
        {
            Commit(tag, UblkTranslator.Result(request.Operation, request.Length, request.Error), _buffers.Address(tag));
        }

        _queue.Return(request);
        return false;
    }

    private void OnRequest(IUblkRing ring, int tag)
    {
        ref UblkTag state = ref _tags[tag];
        state.IsOwed = true;
        if (_isFailing)
        {
            Refuse(tag, Errno.EIO);
            return;
        }

        UblkIoDescriptor description = ring.Describe(tag);
        int error = UblkTranslator.Translate(description, _limits, out UblkDemand demand);
        if (error != 0)
        {
            LogMalformed(_logger, description.OperationAndFlags, description.StartSector, description.Sectors);
            Refuse(tag, error);
            return;
        }

        if (!_queue.TryRent(out BlockRequest? request))
        {
            // There is a slot for every tag, and one more.
            SetFault(Errno.ENOMEM, "the request queue is full, which it cannot be");
            Refuse(tag, Errno.EIO);
            return;
        }

        request.Operation = demand.Operation;
        request.Flags = demand.Flags;
        request.Offset = demand.Offset;
        request.Length = demand.Length;
        request.Token = (ulong)tag;
        request.Owner = this;
        if (demand.Operation is BlockOperation.Read or BlockOperation.Write)
        {
            request.Buffer = _buffers.Payload(tag, (int)demand.Length);
        }

        state.Request = request;
        state.WritesBefore = _writes;
        _queue.Submit(request, _loop.NowMs);
    }

    private void Refuse(int tag, int error)
    {
        Statistics.CountRefused();
        Commit(tag, -error, _isFailing ? _buffers.ScrapAddress() : _buffers.Address(tag));
    }

    private void Commit(int tag, int result, nint address)
    {
        ref UblkTag state = ref _tags[tag];
        if (_ring is not { } ring || !state.IsOwed)
        {
            // The ring is closed: the kernel has taken the request back.
            return;
        }

        state.IsOwed = false;
        Statistics.CountCommit();
        if (!ring.TryQueueCommit(tag, result, address))
        {
            SetFault(Errno.EBUSY, "the ring is full, which it cannot be");
        }
    }

    private void FailAllOnLoop()
    {
        if (_isFailing)
        {
            return;
        }

        _isFailing = true;
        for (int tag = 0; tag < _tags.Length; tag++)
        {
            if (_tags[tag].Request is { } request && request.TryClaimAnswer())
            {
                // The next request of the tag must not get a buffer that this one may still be sent from, or received into.
                Commit(tag, -Errno.EIO, _buffers.ScrapAddress());
                _queue.Abandon(request);
            }
        }
    }

    private void FlushOnLoop(TaskCompletionSource<int> done)
    {
        if (!_queue.TryRent(out BlockRequest? request))
        {
            done.SetResult(Errno.EBUSY);
            return;
        }

        request.Operation = BlockOperation.Flush;
        request.Token = OwnFlush;
        request.Owner = this;
        request.OwnerState = new OwnFlushState(done, _writes);
        _queue.Submit(request, _loop.NowMs);
    }

    private void OnOwnFlush(BlockRequest request)
    {
        int error = request.Error;
        var state = (OwnFlushState)request.OwnerState!;
        if (error == 0)
        {
            _flushedWrites = Math.Max(_flushedWrites, state.WritesBefore);
        }

        _queue.Return(request);
        state.Done.SetResult(error);
    }

    // In the request, not here: a second one must not count the writes between the two as covered by the first.
    private sealed record OwnFlushState(TaskCompletionSource<int> Done, long WritesBefore);
}
