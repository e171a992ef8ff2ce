using System.Diagnostics;

namespace NbdFuse.Native;

public sealed partial class EventLoop
{
    private readonly SpinTrial _spinTrial = new();
    private long _lastProgress;

    private void Run()
    {
        Volatile.Write(ref _threadId, Environment.CurrentManagedThreadId);
        try
        {
            RefreshClock();
            _lastProgress = _timestamp;
            // What was posted or scheduled before the start, without sleeping first.
            Turn(0);
            while (!Volatile.Read(ref _stopRequested))
            {
                Turn(WaitForEvents());
            }
        }
        catch (Exception failure)
        {
            Failure = failure;
        }

        End();
    }

    /// <summary>Also answers what was posted up to the end, so that nobody waits for an action that never runs.</summary>
    private void End()
    {
        Volatile.Write(ref _stopRequested, true);
        try
        {
            CloseQueue();
            if (Failure is { } failure)
            {
                Failed?.Invoke(failure);
            }
        }
        catch (Exception second)
        {
            Failure = Failure is null ? second : new AggregateException(Failure, second);
        }

        // The number may be given to another thread, which must not pass for ours.
        Volatile.Write(ref _threadId, 0);
    }

    private void Turn(int eventCount)
    {
        RefreshClock();
        for (int i = 0; i < eventCount; i++)
        {
            ulong token = _epoll.DataAt(i);
            if (token == WakeToken)
            {
                continue;
            }

            _handlers.Find(token)?.OnEvents(_epoll.EventsAt(i));
        }

        RunPosted();
        _timers.RunDue(NowMs);
        RunHooks();
    }

    private void RunHooks()
    {
        int passes = 0;
        do
        {
            _anotherPass = false;
            ITurnHook[] hooks = _hooks;
            int count = _hookCount;
            for (int i = 0; i < count; i++)
            {
                hooks[i].OnTurnEnd();
            }
        }
        while (_anotherPass && ++passes < MaximumHookPasses);
    }

    private int WaitForEvents()
    {
        if (_anotherPass || TakeWake())
        {
            _lastProgress = _timestamp;
            return _epoll.Wait(0);
        }

        if (_options.SpinMicroseconds <= 0 || !AnyHookWantsSpin())
        {
            return Sleep();
        }

        long begin = Stopwatch.GetTimestamp();
        if (_spinTrial.Polls && Spin(out int ready))
        {
            _lastProgress = Stopwatch.GetTimestamp();
        }
        else
        {
            ready = Sleep();
        }

        if (ready > 0)
        {
            _spinTrial.Record(_lastProgress - begin);
        }

        return ready;
    }

    private int Sleep()
    {
        int timeout = _timers.TimeoutMs(MonotonicClock.Milliseconds);
        int count = PrepareSleep() ? _epoll.Wait(timeout) : _epoll.Wait(0);
        EndSleep();
        if (count > 0)
        {
            _lastProgress = Stopwatch.GetTimestamp();
        }

        return count;
    }

    /// <summary>Polls until an event, a wake-up, or the end of the spin time.</summary>
    private bool Spin(out int ready)
    {
        long until = _lastProgress + (_options.SpinMicroseconds * MonotonicClock.TicksPerMicrosecond);
        while (true)
        {
            ready = _epoll.Wait(0);
            if (ready > 0 || TakeWake() || Volatile.Read(ref _stopRequested))
            {
                return true;
            }

            if (Stopwatch.GetTimestamp() >= until)
            {
                return false;
            }

            // The peer that we wait for may need this very core.
            Posix.SchedYield();
        }
    }

    private bool AnyHookWantsSpin()
    {
        for (int i = 0; i < _hookCount; i++)
        {
            if (_hooks[i].WantsSpin)
            {
                return true;
            }
        }

        return false;
    }
}
