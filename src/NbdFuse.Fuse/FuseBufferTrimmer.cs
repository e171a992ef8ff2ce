using NbdFuse.Native;

namespace NbdFuse.Fuse;

/// <summary>Gives memory back that large payloads took, some time after the last of them.</summary>
/// <remarks>
/// In slices: a request that arrives meanwhile waits for a few system calls at most.
/// THREADING: the loop's thread only.
/// </remarks>
internal sealed class FuseBufferTrimmer : ITimerTarget
{
    // 8 MiB.
    private const int BuffersPerSlice = 8;

    private readonly EventLoop _loop;
    private readonly FuseBuffers _buffers;
    private readonly int _delayMs;
    private long _lastLargeMs;
    private bool _scheduled;

    /// <summary>Makes the trimmer; nothing is scheduled before the first <see cref="NoteLarge"/>.</summary>
    /// <param name="loop">Loop of the session.</param>
    /// <param name="buffers">What is trimmed.</param>
    /// <param name="delayMs">Milliseconds without a large payload after which memory is given back, at least 1.</param>
    internal FuseBufferTrimmer(EventLoop loop, FuseBuffers buffers, int delayMs)
    {
        _loop = loop;
        _buffers = buffers;
        _delayMs = Math.Max(1, delayMs);
    }

    /// <inheritdoc/>
    public void OnTimer(long nowMs)
    {
        long due = _lastLargeMs + _delayMs;
        if (nowMs >= due)
        {
            int before = _buffers.Trim(0);
            int remaining = before == 0 ? 0 : _buffers.Trim(BuffersPerSlice);
            if (remaining == 0)
            {
                _scheduled = false;
                return;
            }

            // Those that are in use at present are tried again later, the others after what else the loop has to do.
            due = nowMs + (before - remaining == BuffersPerSlice ? 1 : _delayMs);
        }

        _loop.Schedule(this, due);
    }

    /// <summary>Notes that a large payload is under way: what it grew stays for a while, another may follow.</summary>
    internal void NoteLarge()
    {
        _lastLargeMs = _loop.NowMs;
        if (!_scheduled)
        {
            _scheduled = true;
            _loop.Schedule(this, _lastLargeMs + _delayMs);
        }
    }

    /// <summary>Forgets the timer.</summary>
    internal void Stop()
    {
        _scheduled = false;
        _loop.Cancel(this);
    }
}
