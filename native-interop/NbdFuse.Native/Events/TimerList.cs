namespace NbdFuse.Native;

/// <summary>
/// One-shot timers, at most one per target. Unsorted: a loop has a handful, and walking them beats keeping them in order.
/// </summary>
internal sealed class TimerList
{
    private ITimerTarget[] _targets = new ITimerTarget[8];
    private long[] _due = new long[8];
    private int _count;

    internal void Schedule(ITimerTarget target, long dueMs)
    {
        int index = IndexOf(target);
        if (index < 0)
        {
            if (_count == _targets.Length)
            {
                Array.Resize(ref _targets, _count * 2);
                Array.Resize(ref _due, _count * 2);
            }

            index = _count++;
            _targets[index] = target;
        }

        _due[index] = dueMs;
    }

    internal bool Cancel(ITimerTarget target)
    {
        int index = IndexOf(target);
        if (index < 0)
        {
            return false;
        }

        RemoveAt(index);
        return true;
    }

    /// <summary>Milliseconds until the next timer, for epoll_wait: 0 when it is due, -1 when there is none.</summary>
    internal int TimeoutMs(long nowMs)
    {
        if (_count == 0)
        {
            return -1;
        }

        long next = _due[0];
        for (int i = 1; i < _count; i++)
        {
            next = Math.Min(next, _due[i]);
        }

        return (int)Math.Clamp(next - nowMs, 0, int.MaxValue);
    }

    /// <summary>
    /// Runs what is due. Bounded by the number of timers at the start, so that one which schedules itself for now
    /// does not starve the events.
    /// </summary>
    internal void RunDue(long nowMs)
    {
        for (int budget = _count; budget > 0; budget--)
        {
            int index = FirstDue(nowMs);
            if (index < 0)
            {
                return;
            }

            ITimerTarget target = _targets[index];
            RemoveAt(index);
            target.OnTimer(nowMs);
        }
    }

    private int FirstDue(long nowMs)
    {
        int found = -1;
        for (int i = 0; i < _count; i++)
        {
            if (_due[i] <= nowMs && (found < 0 || _due[i] < _due[found]))
            {
                found = i;
            }
        }

        return found;
    }

    private int IndexOf(ITimerTarget target)
    {
        for (int i = 0; i < _count; i++)
        {
            if (ReferenceEquals(_targets[i], target))
            {
                return i;
            }
        }

        return -1;
    }

    private void RemoveAt(int index)
    {
        _count--;
        _targets[index] = _targets[_count];
        _due[index] = _due[_count];
        _targets[_count] = null!;
    }
}
