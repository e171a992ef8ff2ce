namespace NbdFuse.Native;

public sealed partial class EventLoop
{
    private readonly FileDescriptor _wakeDescriptor;
    private readonly Lock _postLock = new();
    private List<Action> _posted = [];
    private List<Action> _running = [];
    private bool _queueClosed;
    private bool _stopRequested;
    private int _postedCount;
    private int _wakePending;
    private int _sleeping;
    private int _wakers;
    private int _wakingClosed;

    /// <summary>
    /// Runs an action on the loop's thread, in the order of posting. For the control plane: it allocates and takes a lock.
    /// </summary>
    /// <param name="action">The action. An exception that it throws ends the loop.</param>
    /// <returns>False when the loop has ended: the action will not run.</returns>
    public bool Post(Action action)
    {
        ArgumentNullException.ThrowIfNull(action);
        lock (_postLock)
        {
            if (_queueClosed)
            {
                return false;
            }

            _posted.Add(action);
            Volatile.Write(ref _postedCount, _posted.Count);
        }

        Wake();
        return true;
    }

    /// <summary>
    /// Makes sure that a whole turn, hooks included, begins after this call. From any thread; allocates nothing, and costs a
    /// system call only while the loop sleeps and nobody else has woken it.
    /// </summary>
    public void Wake()
    {
        // Exchange is a full fence: either we see that the loop sleeps, or it sees our flag before it does.
        if (Interlocked.Exchange(ref _wakePending, 1) == 0 && Volatile.Read(ref _sleeping) != 0)
        {
            WriteWake();
        }
    }

    /// <summary>Asks the loop to end after its current turn. What was posted before still runs.</summary>
    public void Stop()
    {
        Volatile.Write(ref _stopRequested, true);
        Wake();
    }

    private void WriteWake()
    {
        // Counted, so that Dispose cannot close the descriptor under a late waker: its number may belong to a socket by then.
        Interlocked.Increment(ref _wakers);
        if (Volatile.Read(ref _wakingClosed) == 0)
        {
            // It cannot fail but by a full counter, and then the loop is awake.
            _ = Posix.EventFdWrite(_wakeDescriptor.Value);
        }

        Interlocked.Decrement(ref _wakers);
    }

    private void CloseWaking()
    {
        Interlocked.Exchange(ref _wakingClosed, 1);
        SpinWait wait = default;
        while (Volatile.Read(ref _wakers) != 0)
        {
            wait.SpinOnce();
        }

        _wakeDescriptor.Dispose();
    }

    private bool TakeWake() => Volatile.Read(ref _wakePending) != 0 && Interlocked.Exchange(ref _wakePending, 0) != 0;

    /// <summary>Announces the sleep.</summary>
    /// <returns>False when somebody woke the loop meanwhile.</returns>
    private bool PrepareSleep()
    {
        Interlocked.Exchange(ref _sleeping, 1);
        return Volatile.Read(ref _wakePending) == 0;
    }

    private void EndSleep()
    {
        Volatile.Write(ref _sleeping, 0);
        TakeWake();
    }

    private void RunPosted()
    {
        if (Volatile.Read(ref _postedCount) == 0)
        {
            return;
        }

        lock (_postLock)
        {
            (_posted, _running) = (_running, _posted);
            Volatile.Write(ref _postedCount, 0);
        }

        foreach (Action action in _running)
        {
            action();
        }

        _running.Clear();
    }

    private void CloseQueue()
    {
        // After a failure the loop's state cannot be trusted: the actions are dropped, and the owner learns it by Failed.
        while (true)
        {
            if (Failure is null)
            {
                RunPosted();
            }

            lock (_postLock)
            {
                if (Failure is not null || _posted.Count == 0)
                {
                    _queueClosed = true;
                    _posted.Clear();
                    return;
                }
            }
        }
    }
}
