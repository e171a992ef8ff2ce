namespace NbdFuse.UnitTests.Cache;

/// <summary>
/// S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", 2023): a small queue of 10 %,
/// a main queue with two bits of use, and a ghost queue as long as the main one.
/// </summary>
internal sealed class S3FifoPolicy : ITracedPolicy
{
    private readonly int _smallLimit;
    private readonly int _capacity;
    private readonly Dictionary<long, int> _uses = [];
    private readonly Queue<long> _small = new();
    private readonly Queue<long> _main = new();
    private readonly Dictionary<long, long> _ghosts = [];
    private readonly Queue<(long Key, long Entry)> _ghostOrder = new();
    private long _entries;

    public S3FifoPolicy(int capacity)
    {
        _capacity = capacity;
        _smallLimit = Math.Max(1, capacity / 10);
    }

    public bool Access(long key)
    {
        if (_uses.TryGetValue(key, out int uses))
        {
            _uses[key] = Math.Min(uses + 1, 3);
            return true;
        }

        while (_uses.Count >= _capacity)
        {
            Evict();
        }

        _uses[key] = 0;
        (_ghosts.Remove(key) ? _main : _small).Enqueue(key);
        return false;
    }

    private void Evict()
    {
        if (_small.Count >= _smallLimit || _main.Count == 0)
        {
            EvictSmall();
        }
        else
        {
            EvictMain();
        }
    }

    private void EvictSmall()
    {
        while (_small.TryDequeue(out long key))
        {
            if (_uses[key] > 1)
            {
                _uses[key] = 0;
                _main.Enqueue(key);
                if (_main.Count > _capacity - _smallLimit)
                {
                    EvictMain();
                    return;
                }

                continue;
            }

            _uses.Remove(key);
            AddGhost(key);
            return;
        }
    }

    private void EvictMain()
    {
        while (_main.TryDequeue(out long key))
        {
            if (_uses[key] > 0)
            {
                _uses[key]--;
                _main.Enqueue(key);
                continue;
            }

            _uses.Remove(key);
            return;
        }
    }

    private void AddGhost(long key)
    {
        _ghosts[key] = ++_entries;
        _ghostOrder.Enqueue((key, _entries));
        while (_ghostOrder.Count > _capacity - _smallLimit)
        {
            (long old, long entry) = _ghostOrder.Dequeue();
            if (_ghosts.TryGetValue(old, out long current) && current == entry)
            {
                _ghosts.Remove(old);
            }
        }
    }
}
