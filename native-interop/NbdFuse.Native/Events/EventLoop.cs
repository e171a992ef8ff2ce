using System.Diagnostics;

namespace NbdFuse.Native;

/// <summary>
/// A single-threaded event loop over epoll. A turn: ready handlers, posted actions, due timers, then all turn hooks.
/// </summary>
/// <remarks>
/// THREADING: <see cref="Post"/>, <see cref="Wake"/>, <see cref="Stop"/>, <see cref="Join"/> and the properties <see cref="Failure"/> and
/// <see cref="IsLoopThread"/> may be used from any thread; everything else only on the loop's thread, or before <see cref="Start"/>.
/// A turn without posted actions does not allocate.
/// </remarks>
public sealed partial class EventLoop : IDisposable
{
    // A hook that always asks for another pass must not starve the descriptors.
    private const int MaximumHookPasses = 8;
    private const ulong WakeToken = ulong.MaxValue;

    private readonly EventLoopOptions _options;
    private readonly Epoll _epoll;
    private readonly HandlerTable _handlers = new();
    private readonly TimerList _timers = new();
    private readonly Thread _thread;
    private ITurnHook[] _hooks = new ITurnHook[4];
    private int _hookCount;
    private bool _anotherPass;
    private bool _started;
    private long _timestamp;
    private int _threadId;

    /// <summary>Makes a loop that does not run yet.</summary>
    /// <param name="name">Name of the thread; the kernel shows the first 15 bytes.</param>
    /// <param name="options">Settings; null for the defaults.</param>
    /// <exception cref="PosixException">The kernel refused an epoll instance or eventfd.</exception>
    public EventLoop(string name, EventLoopOptions? options = null)
    {
        _options = options ?? new EventLoopOptions();
        Name = name;
        _epoll = new Epoll(Math.Clamp(_options.MaximumEvents, 1, 4096));
        _wakeDescriptor = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "create an eventfd");
        // Edge-triggered: every write is one event, and the counter never has to be read back.
        int result = _epoll.Add(_wakeDescriptor.Value, EpollEvents.In | EpollEvents.EdgeTriggered, WakeToken);
        PosixException.Check(result, "register an eventfd");
        _thread = new Thread(Run, _options.StackBytes) { IsBackground = true, Name = name };
        RefreshClock();
    }

    /// <summary>Raised once, on the loop's thread, after an unhandled exception has ended the loop: fail what it carried.</summary>
    public event Action<Exception>? Failed;

    /// <summary>The loop's name.</summary>
    public string Name { get; }

    /// <summary>The exception that ended the loop, if one did.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>Monotonic milliseconds (<see cref="MonotonicClock"/>), refreshed once per turn.</summary>
    public long NowMs { get; private set; }

    /// <summary>Whether the caller runs on the loop's thread.</summary>
    public bool IsLoopThread => Environment.CurrentManagedThreadId == Volatile.Read(ref _threadId);

    /// <summary>Starts the thread. It is a background thread: it does not keep the process alive.</summary>
    public void Start()
    {
        // In this order: a thread that could not be started is not waited for.
        _thread.Start();
        _started = true;
    }

    /// <summary>Registers a descriptor. It must be removed before it is closed.</summary>
    /// <param name="fd">The descriptor; not registered yet.</param>
    /// <param name="events">The events asked for.</param>
    /// <param name="handler">Who is told.</param>
    /// <returns>0 or a negative errno (EPERM: regular files cannot be polled).</returns>
    public int Add(int fd, EpollEvents events, IEventHandler handler)
    {
        VerifyAccess();
        int result = _epoll.Add(fd, events, _handlers.Enter(fd, handler));
        if (result < 0)
        {
            _handlers.Leave(fd);
        }

        return result;
    }

    /// <summary>Changes the events asked for. With EdgeTriggered the present state is reported anew.</summary>
    /// <param name="fd">A registered descriptor.</param>
    /// <param name="events">The events asked for.</param>
    /// <returns>0 or a negative errno.</returns>
    public int Modify(int fd, EpollEvents events)
    {
        VerifyAccess();
        return _epoll.Modify(fd, events, _handlers.TokenOf(fd));
    }

    /// <summary>Removes a descriptor; its handler is not called again, even for events already collected.</summary>
    /// <param name="fd">The descriptor; one that is not registered is ignored.</param>
    /// <returns>0 or a negative errno (EBADF: it was closed before its removal).</returns>
    public int Remove(int fd)
    {
        VerifyAccess();
        return _handlers.Leave(fd) ? _epoll.Remove(fd) : 0;
    }

    /// <summary>Adds a hook that runs at the end of every turn, in the order of addition.</summary>
    /// <param name="hook">The hook.</param>
    public void AddTurnHook(ITurnHook hook)
    {
        VerifyAccess();
        if (_hookCount == _hooks.Length)
        {
            Array.Resize(ref _hooks, _hookCount * 2);
        }

        _hooks[_hookCount++] = hook;
    }

    /// <summary>Removes a hook. Within a hook pass the others still run once each.</summary>
    /// <param name="hook">The hook.</param>
    /// <returns>Whether it was there.</returns>
    public bool RemoveTurnHook(ITurnHook hook)
    {
        VerifyAccess();
        int index = Array.IndexOf(_hooks, hook, 0, _hookCount);
        if (index < 0)
        {
            return false;
        }

        // A copy, so that a pass that is walking the old array is not disturbed.
        ITurnHook[] rest = new ITurnHook[_hooks.Length];
        Array.Copy(_hooks, rest, index);
        Array.Copy(_hooks, index + 1, rest, index, _hookCount - index - 1);
        _hooks = rest;
        _hookCount--;
        return true;
    }

    /// <summary>
    /// Has the hooks run once more in this turn: work came up that an earlier hook must see. After several passes the rest
    /// goes to the next turn, which then starts without sleeping.
    /// </summary>
    public void RequestAnotherPass()
    {
        VerifyAccess();
        _anotherPass = true;
    }

    /// <summary>Calls the target once at a time on the scale of <see cref="NowMs"/>. Replaces the target's earlier timer.</summary>
    /// <param name="target">Who is called; has at most one timer.</param>
    /// <param name="dueMs">When, in milliseconds; the past means in this or the next turn.</param>
    public void Schedule(ITimerTarget target, long dueMs)
    {
        VerifyAccess();
        _timers.Schedule(target, dueMs);
    }

    /// <summary>Forgets the target's timer.</summary>
    /// <param name="target">Who is not called any more.</param>
    /// <returns>Whether one was scheduled.</returns>
    public bool Cancel(ITimerTarget target)
    {
        VerifyAccess();
        return _timers.Cancel(target);
    }

    /// <summary>Throws, in debug builds, when called on a foreign thread while the loop runs.</summary>
    [Conditional("DEBUG")]
    public void VerifyAccess()
    {
        int owner = Volatile.Read(ref _threadId);
        if (owner != 0 && owner != Environment.CurrentManagedThreadId)
        {
            throw new InvalidOperationException($"Loop {Name} was touched from a foreign thread.");
        }
    }

    /// <summary>Waits for the end of the thread. Does nothing before <see cref="Start"/>.</summary>
    /// <exception cref="InvalidOperationException">Called on the loop's thread.</exception>
    public void Join()
    {
        if (IsLoopThread)
        {
            throw new InvalidOperationException($"Loop {Name} cannot wait for itself.");
        }

        if (_started)
        {
            _thread.Join();
        }
    }

    /// <summary>Stops the loop, waits for its end and releases its descriptors. Registered descriptors stay open.</summary>
    public void Dispose()
    {
        Stop();
        Join();
        if (!_started)
        {
            CloseQueue();
        }

        CloseWaking();
        _epoll.Dispose();
    }

    private void RefreshClock()
    {
        _timestamp = Stopwatch.GetTimestamp();
        NowMs = MonotonicClock.ToMilliseconds(_timestamp);
    }
}
