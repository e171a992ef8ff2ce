using NbdFuse.Native;
using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

internal sealed partial class UblkQueue
{
    // Answers let their callers send the next requests at once; those are taken in the same turn, but descriptors wait too.
    private const int MaximumPasses = 4;

    // Payload in flight up to which spinning pays: longer transfers need the processor for their copies.
    private const int SpinBytes = 64 * 1024;

    /// <inheritdoc/>
    bool ITurnHook.WantsSpin => _spin && _ring is not null && _queue.InFlight <= 2 && _queue.BytesInFlight <= SpinBytes;

    /// <inheritdoc/>
    void IEventHandler.OnEvents(EpollEvents events)
    {
        // The turn's end looks at the ring anyway: the eventfd only ends the sleep.
    }

    /// <inheritdoc/>
    void ITurnHook.OnTurnEnd()
    {
        int passes = 0;
        bool again;
        do
        {
            TakeRequests();
            do
            {
                _queue.Ready.Run();
                _queue.EndTurn();
            }
            while (!_queue.Ready.IsEmpty);

            // All answers of the turn in one call, which also posts what has come meanwhile.
            again = false;
            if (_ring is { NeedsSubmit: true } ring)
            {
                SubmitRing(ring);
                again = _ring is { } still && (still.HasCompletion || still.NeedsSubmit);
            }
        }
        while (again && ++passes < MaximumPasses);

        if (again)
        {
            _loop.RequestAnotherPass();
        }
    }

    private void TakeRequests()
    {
        if (_ring is not { } ring)
        {
            return;
        }

        if (ring.NeedsSubmit)
        {
            SubmitRing(ring);
            if (_ring is null)
            {
                // It was refused, and the ring is closed.
                return;
            }
        }

        while (ring.TryTake(out int tag, out int result))
        {
            if (result == 0)
            {
                OnRequest(ring, tag);
            }
            else
            {
                OnTagEnded(tag, result);
            }
        }

        if (_endedTags == _tags.Length)
        {
            // Nothing is owed any more, or could be answered: close, so that the device can be deleted.
            CloseRing();
        }
    }

    private void SubmitRing(IUblkRing ring)
    {
        Statistics.CountSubmission();
        int result = ring.Submit();
        if (result < 0 && result is not (-Errno.EAGAIN or -Errno.EBUSY or -Errno.EINTR))
        {
            SetFault(-result, $"io_uring refused answers to the kernel: {Errno.Describe(result)}");

            // It would refuse for ever. The kernel keeps what is not answered for the next server.
            CloseRing();
        }
    }

    private void OnTagEnded(int tag, int result)
    {
        ref UblkTag state = ref _tags[tag];
        if (!state.IsEnded)
        {
            state.IsEnded = true;
            state.IsOwed = false;
            _endedTags++;
        }

        if (result != UblkConstants.Abort)
        {
            SetFault(Math.Abs(result), $"the kernel refused the answer to a request: {Errno.Describe(result)}");
        }
    }
}
