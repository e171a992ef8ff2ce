using NbdFuse.Block;
using NbdFuse.Client.Transmission;

namespace NbdFuse.Client;

/// <content>The end: NBD_CMD_DISC on every connection, then the threads, then the transport.</content>
public sealed partial class NbdExport
{
    private static readonly TimeSpan LoopTimeout = TimeSpan.FromSeconds(10);

    private bool _isClosing;
    private bool _isClosed;

    /// <summary>Ends a server that was started for this export, without waiting: see <see cref="NbdTransport.Abandon"/>.</summary>
    public void Abandon() => _transport.Abandon();

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
        if (_loop is not null)
        {
            // First: what was posted to a mover after it has stopped would never end.
            await RunAsync(_loop.Post, RefuseNew, RefuseNew).ConfigureAwait(false);
        }

        bool isQuiet = true;
        foreach (Mover mover in _movers)
        {
            bool closed = await RunAsync(
                action => mover.Post(_ => action()), () => Close(mover.Connections), () => mover.Abort(Closed())).ConfigureAwait(false);
            if (closed)
            {
                mover.Stop();
            }

            isQuiet &= closed;
        }

        if (_loop is not null)
        {
            isQuiet &= await RunAsync(_loop.Post, CloseOwn, CloseOwn).ConfigureAwait(false);
        }

        if (isQuiet)
        {
            // Otherwise a thread that hangs may still use them when it wakes: better to leak than to unmap under it.
            Free();
        }

        await _transport.DisposeAsync().ConfigureAwait(false);
    }

    private static NbdDisconnectedException Closed() => new("the export was closed while requests were in flight");

    private void Free()
    {
        foreach (Mover mover in _movers)
        {
            mover.Dispose();
        }

        foreach (NbdConnection connection in _small.Concat(_large))
        {
            connection.Dispose();
        }

        foreach (NegotiatedSocket socket in _sockets)
        {
            if (_loop is null)
            {
                NbdConnection.SayGoodbye(socket.Socket.Value);
            }

            socket.Socket.Dispose();
        }
    }

    private static void Close(IEnumerable<NbdConnection> connections)
    {
        foreach (NbdConnection connection in connections)
        {
            if (connection.InFlight > 0)
            {
                connection.GiveUp(Closed());
            }
            else
            {
                connection.Disconnect();
            }
        }
    }

    /// <summary>Runs an action on a loop's thread, or here when that thread has ended.</summary>
    /// <param name="post">Hands the action to the loop; false when it has ended.</param>
    /// <param name="action">The action.</param>
    /// <param name="afterEnd">What to do instead once the thread is gone.</param>
    /// <returns>False when the thread is there but does not answer.</returns>
    private static async Task<bool> RunAsync(Func<Action, bool> post, Action action, Action afterEnd)
    {
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        bool posted = post(() =>
        {
            try
            {
                action();
            }
            finally
            {
                done.TrySetResult();
            }
        });
        if (posted)
        {
            try
            {
                await done.Task.WaitAsync(LoopTimeout).ConfigureAwait(false);
                return true;
            }
            catch (TimeoutException)
            {
                // A loop that died between taking the action and running it never answers, but then it refuses the next one.
                if (post(() => { }))
                {
                    return false;
                }
            }
        }

        afterEnd();
        return true;
    }

    private void RefuseNew()
    {
        _isClosing = true;
        _closedError = _closedError == 0 ? BlockErrno.EIO : _closedError;
    }

    private void CloseOwn()
    {
        Close(_small.Concat(_large));
        EndTurn();
    }
}
