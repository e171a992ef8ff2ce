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
            await RunAsync(_loop.Post, RefuseNew).ConfigureAwait(false);
        }

        foreach (Mover mover in _movers)
        {
            await RunAsync(action => mover.Post(_ => action()), () => Close(mover.Connections)).ConfigureAwait(false);
            mover.Stop();
        }

        if (_loop is not null)
        {
            await RunAsync(_loop.Post, CloseOwn).ConfigureAwait(false);
        }

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

        await _transport.DisposeAsync().ConfigureAwait(false);
    }

    private static void Close(IEnumerable<NbdConnection> connections)
    {
        foreach (NbdConnection connection in connections)
        {
            if (connection.InFlight > 0)
            {
                connection.GiveUp(new NbdDisconnectedException("the export was closed while requests were in flight"));
            }
            else
            {
                connection.Disconnect();
            }
        }
    }

    private static async Task RunAsync(Func<Action, bool> post, Action action)
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
            }
            catch (TimeoutException)
            {
                // A loop that died between taking the action and running it never answers; the process must still end.
            }
        }
        else
        {
            action();
        }
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
