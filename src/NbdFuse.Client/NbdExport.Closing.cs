using NbdFuse.Block;
using NbdFuse.Client.Transmission;

namespace NbdFuse.Client;

/// <content>The end: NBD_CMD_DISC on every connection, then the threads, then the transport.</content>
public sealed partial class NbdExport
{
    private static readonly TimeSpan LoopTimeout = TimeSpan.FromSeconds(10);

    private readonly TaskCompletionSource<NbdFuse.Protocol.NbdException> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _isClosing;
    private bool _isClosed;
    private bool _hasFailed;

    /// <summary>Ends a server that was started for this export, without waiting: see <see cref="NbdTransport.Abandon"/>.</summary>
    public void Abandon() => _servers.Abandon();

    /// <summary>
    /// Says NBD_CMD_DISC on every connection and closes them all. The caller has drained its queue, or gives up what is
    /// still in flight: that ends with an error. The loop must still be running, if it ever ran.
    /// </summary>
    /// <returns>Ends when no thread and no child of the export is left.</returns>
    public async ValueTask DisposeAsync()
    {
        if (_isClosed)
        {
            return;
        }

        _isClosed = true;
        if (_loop is null)
        {
            Leave(_sockets);
            _log?.Dispose();
        }
        else
        {
            await CloseAsync().ConfigureAwait(false);
        }

        await _servers.DisposeAsync().ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task CloseAsync()
    {
        // First: what was posted to a mover after it has stopped would never end.
        await LoopCall.RunAsync(_loop!.Post, RefuseNew, RefuseNew, LoopTimeout).ConfigureAwait(false);
        await _stop.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_reconnecting, _replacing).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        bool isQuiet = true;
        if (_set is not null)
        {
            isQuiet = await _set.CloseMoversAsync(Closed(), LoopTimeout).ConfigureAwait(false);
        }

        isQuiet &= await LoopCall.RunAsync(_loop.Post, CloseOwn, CloseOwn, LoopTimeout).ConfigureAwait(false);
        if (isQuiet)
        {
            // Otherwise a thread that hangs may still use them when it wakes: better to leak than to unmap under it.
            _set?.Dispose();
            _log?.Dispose();
            _checkBuffer?.Dispose();
            _probeBuffer?.Dispose();
        }
    }

    private void RefuseNew()
    {
        _isClosing = true;
        _closedError = _closedError == 0 ? BlockErrno.EIO : _closedError;
        _phase = ExportPhase.Closed;
        _fence?.Cancel();
        CancelFences();
        DropCandidate();
        _loop!.Cancel(this);
        EndAllHeld();
    }

    private void CloseOwn()
    {
        _set?.Close(Closed());
        EndTurn();
    }
}
