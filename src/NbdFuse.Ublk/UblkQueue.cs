using Microsoft.Extensions.Logging;
using NbdFuse.Block;
using NbdFuse.Native;

namespace NbdFuse.Ublk;

/// <summary>
/// The front end of a ublk device: takes the kernel's requests from a ring, turns them into block requests, and answers.
/// </summary>
/// <remarks>
/// A request ends exactly once: its tag is owed an answer from the completion of its fetch to its commit, and whoever answers
/// claims the block request first.
/// THREADING: everything runs on the loop's thread, but for the constructor, the methods that return tasks,
/// <see cref="FailAll"/>, the tasks, and <see cref="HasUnflushedWrites"/>.
/// </remarks>
internal sealed partial class UblkQueue : IEventHandler, ITurnHook, IBlockCompletion
{
    private readonly EventLoop _loop;
    private readonly RequestQueue _queue;
    private readonly UblkLimits _limits;
    private readonly UblkBuffers _buffers;
    private readonly UblkTag[] _tags;
    private readonly bool _spin;
    private readonly ILogger _logger;
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<UblkEnd> _fault = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IUblkRing? _ring;
    private bool _isAttached;
    private bool _isFailing;
    private int _endedTags;

    /// <summary>Makes the queue; nothing happens before <see cref="StartAsync"/>.</summary>
    /// <param name="loop">Loop of the data plane; it runs.</param>
    /// <param name="queue">The queue before the device; used by this object only, with a slot more than the depth.</param>
    /// <param name="geometry">Depth and limits.</param>
    /// <param name="buffers">Payload memory; stays the caller's, and must live until <see cref="RequestQueue.IsIdle"/>.</param>
    /// <param name="spin">Whether the loop may poll.</param>
    /// <param name="logger">Hears of what is rare.</param>
    internal UblkQueue(EventLoop loop, RequestQueue queue, UblkGeometry geometry, UblkBuffers buffers, bool spin, ILogger logger)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(geometry.Depth, queue.Capacity);
        _loop = loop;
        _queue = queue;
        _limits = geometry.Limits;
        _buffers = buffers;
        _spin = spin;
        _logger = logger;
        _tags = new UblkTag[geometry.Depth];
    }

    /// <summary>Ends when the kernel hands out nothing more and its descriptors are closed.</summary>
    internal Task Closed => _closed.Task;

    /// <summary>Ends when the kernel has refused what may not fail. The ring is still there.</summary>
    internal Task<UblkEnd> Fault => _fault.Task;

    /// <summary>Whether there has ever been a ring: without one nothing ends by itself.</summary>
    internal bool IsStarted { get; private set; }

    /// <summary>Counters.</summary>
    internal UblkStatistics Statistics { get; } = new();

    /// <summary>Whether writes have been acknowledged that no successful FLUSH after them covers. Any thread.</summary>
    internal bool HasUnflushedWrites => Volatile.Read(ref _writes) != Volatile.Read(ref _flushedWrites);

    /// <summary>Makes the ring on the loop's thread and asks for the first request of every tag.</summary>
    /// <param name="makeRing">Makes the ring.</param>
    /// <returns>Ends when all tags have been asked for; fails with what <paramref name="makeRing"/> throws.</returns>
    internal Task StartAsync(Func<IUblkRing> makeRing) => OnLoopAsync(() =>
    {
        AttachOnLoop();
        StartOnLoop(makeRing());
    });

    /// <summary>Sends a FLUSH of our own, in a slot that is kept for it.</summary>
    /// <returns>Linux errno, positive; 0 on success.</returns>
    internal async Task<int> FlushAsync()
    {
        var done = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        await OnLoopAsync(() =>
        {
            AttachOnLoop();
            FlushOnLoop(done);
        }).ConfigureAwait(false);
        return await done.Task.ConfigureAwait(false);
    }

    /// <summary>
    /// Answers every request with EIO from here on, those that are under way first. What the device does with them after that is
    /// nobody's concern, but their buffers stay theirs.
    /// </summary>
    internal void FailAll()
    {
        if (_loop.IsLoopThread)
        {
            FailAllOnLoop();
        }
        else
        {
            _loop.Post(FailAllOnLoop);
        }
    }

    /// <summary>Closes the ring, whatever is under way: the kernel then gives the requests to the next server, or fails them.</summary>
    internal Task CloseAsync() => OnLoopAsync(CloseRing);

    /// <summary>Closes the ring if it is still there, and leaves the loop.</summary>
    /// <returns>True when nothing is in flight, so that the buffers may be freed.</returns>
    internal async Task<bool> DetachAsync()
    {
        bool idle = false;
        await OnLoopAsync(() =>
        {
            CloseRing();
            if (_isAttached)
            {
                _isAttached = false;
                _loop.RemoveTurnHook(this);
            }

            idle = _queue.IsIdle;
        }).ConfigureAwait(false);
        return idle;
    }

    /// <summary>After the death of the loop: closes the ring on whatever thread.</summary>
    internal void CloseDead()
    {
        _ring?.Dispose();
        _ring = null;
        _closed.TrySetResult();
    }

    private void AttachOnLoop()
    {
        if (!_isAttached)
        {
            _isAttached = true;
            _loop.AddTurnHook(this);
        }
    }

    private void StartOnLoop(IUblkRing ring)
    {
        int result = _loop.Add(ring.EventDescriptor, EpollEvents.In | EpollEvents.EdgeTriggered, this);
        if (result < 0)
        {
            ring.Dispose();
            throw new PosixException("register an eventfd", result);
        }

        _ring = ring;
        IsStarted = true;
        for (int tag = 0; tag < _tags.Length; tag++)
        {
            if (!ring.TryQueueFetch(tag, _buffers.Address(tag)))
            {
                throw new InvalidOperationException("The ring is smaller than the queue.");
            }
        }

        // Not left to the turn's end: the caller goes on to start the device, which waits for the fetches.
        SubmitRing(ring);
    }

    private void CloseRing()
    {
        if (_ring is { } ring)
        {
            _ring = null;
            _loop.Remove(ring.EventDescriptor);
            ring.Dispose();
        }

        _closed.TrySetResult();
    }

    private void SetFault(int error, string message)
    {
        if (_fault.TrySetResult(new UblkEnd(UblkEndReason.Failed, error, message)))
        {
            LogFault(_logger, message);
        }
    }

    private async Task OnLoopAsync(Action action)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        bool posted = _loop.Post(() =>
        {
            try
            {
                action();
                done.SetResult();
            }
            catch (Exception e) when (e is IOException or InvalidOperationException)
            {
                // The control plane's failure, not the loop's.
                done.SetException(e);
            }
        });
        if (!posted)
        {
            throw new UblkException("the event loop has ended");
        }

        await done.Task.ConfigureAwait(false);
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "ublk: {Reason}")]
    private static partial void LogFault(ILogger logger, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "ublk: the kernel sent a request that makes no sense: operation {Operation}, sector {Sector}, {Count} sectors")]
    private static partial void LogMalformed(ILogger logger, uint operation, ulong sector, uint count);
}
