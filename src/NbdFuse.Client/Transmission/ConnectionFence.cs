using NbdFuse.Native;

namespace NbdFuse.Client.Transmission;

/// <summary>
/// Keeps a write that is stuck in an old connection from overwriting newer data: waits until the server has closed every
/// connection on which a change was under way, or until the time is up.
/// </summary>
/// <remarks>
/// NBD has no fence of its own. The failed connection has shut down our sending side already: a
/// server that reads the end of its input, and has answered what it was asked, closes.
/// THREADING: the loop's thread, but for <see cref="Passed"/>.
/// </remarks>
internal sealed class ConnectionFence : ITimerTarget
{
    /// <summary>A server that never stops to send must not starve the loop.</summary>
    private const int ReceivesPerEvent = 16;

    private readonly EventLoop _loop;
    private readonly byte[] _scratch = new byte[16 * 1024];
    private readonly List<Watched> _open = [];
    private readonly TaskCompletionSource<int> _passed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _unwatched;

    /// <summary>Prepares the fence.</summary>
    /// <param name="loop">The export's loop.</param>
    public ConnectionFence(EventLoop loop) => _loop = loop;

    /// <summary>Ends when nothing of the old connections can act any more, with the number of those that did not close.</summary>
    public Task<int> Passed => _passed.Task;

    /// <summary>Begins to wait.</summary>
    /// <param name="connections">Failed connections; they are not disposed before <see cref="Passed"/>.</param>
    /// <param name="timeoutMs">How long at most, in milliseconds.</param>
    public void Start(IEnumerable<NbdConnection> connections, long timeoutMs)
    {
        foreach (NbdConnection connection in connections)
        {
            if (!connection.HasGhosts || connection.IsPeerClosed)
            {
                continue;
            }

            if (connection.IsCutOff)
            {
                // Our end is dead, and reads as closed; the server's may be alive, and go on with what it has.
                _unwatched++;
                continue;
            }

            var watched = new Watched(this, connection);
            if (_loop.Add(connection.Descriptor, EpollEvents.In, watched) == 0)
            {
                _open.Add(watched);
            }
            else
            {
                // Nothing can be learned about it but by waiting.
                _unwatched++;
            }
        }

        if (_open.Count + _unwatched == 0)
        {
            _passed.TrySetResult(0);
            return;
        }

        _loop.Schedule(this, _loop.NowMs + timeoutMs);
    }

    /// <summary>Stops waiting: somebody else does, or nobody cares any more.</summary>
    public void Cancel() => End();

    /// <inheritdoc/>
    void ITimerTarget.OnTimer(long nowMs)
    {
        foreach (Watched watched in _open)
        {
            // Closing becomes a reset, so that at least what still lies in our own buffer is not sent any more.
            _ = Posix.SetLingerZero(watched.Descriptor);
        }

        End();
    }

    private void End()
    {
        int left = _open.Count + _unwatched;
        foreach (Watched watched in _open)
        {
            _loop.Remove(watched.Descriptor);
        }

        _open.Clear();
        _unwatched = 0;
        _loop.Cancel(this);
        _passed.TrySetResult(left);
    }

    private void Drain(Watched watched)
    {
        int received = 1;
        for (int i = 0; i < ReceivesPerEvent && received > 0; i++)
        {
            // Late answers: whoever asked waits for the answer of the next connection.
            received = Posix.Recv(watched.Descriptor, _scratch, SocketConstants.MSG_DONTWAIT);
        }

        if (received is > 0 or -Errno.EAGAIN or -Errno.EINTR)
        {
            return;
        }

        _loop.Remove(watched.Descriptor);
        _open.Remove(watched);
        if (received is not 0 and not -Errno.ECONNRESET and not -Errno.EPIPE)
        {
            // Broken, which does not mean that the server has let go; and the socket tells it only once.
            watched.Connection.NoteCutOff();
            _unwatched++;
        }

        if (_open.Count + _unwatched == 0)
        {
            End();
        }
    }

    private sealed class Watched(ConnectionFence fence, NbdConnection connection) : IEventHandler
    {
        public NbdConnection Connection => connection;

        public int Descriptor => connection.Descriptor;

        public void OnEvents(EpollEvents events) => fence.Drain(this);
    }
}
