using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>
/// Waits for one descriptor at a time until a deadline or a cancellation. The control plane runs its short blocking
/// conversations on threads of their own: a raw descriptor must not enter the runtime's epoll, which would keep it.
/// Not thread-safe; the token may be cancelled from anywhere.
/// </summary>
internal sealed class DeadlineWait : IDisposable
{
    private readonly CancellationToken _cancellationToken;
    private readonly FileDescriptor? _wakeUp;
    private readonly CancellationTokenRegistration _registration;
    private long _deadline;

    /// <summary>Starts the clock.</summary>
    /// <param name="timeout">Time until the deadline.</param>
    /// <param name="cancellationToken">Ends a wait early.</param>
    public DeadlineWait(TimeSpan timeout, CancellationToken cancellationToken)
    {
        Restart(timeout);
        _cancellationToken = cancellationToken;
        if (cancellationToken.CanBeCanceled)
        {
            FileDescriptor wakeUp = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "create an eventfd");
            _wakeUp = wakeUp;
            _registration = cancellationToken.Register(() => Posix.EventFdWrite(wakeUp.Value));
        }
    }

    /// <summary>Milliseconds to the deadline, 0 when it has passed.</summary>
    public int RemainingMilliseconds =>
        (int)Math.Clamp(_deadline - MonotonicClock.Milliseconds, 0, int.MaxValue);

    /// <summary>Moves the deadline.</summary>
    /// <param name="timeout">Time from now.</param>
    public void Restart(TimeSpan timeout) =>
        _deadline = MonotonicClock.Milliseconds + (long)Math.Clamp(timeout.TotalMilliseconds, 0, int.MaxValue);

    /// <summary>Waits until an operation on the descriptor would not block (or would report an error).</summary>
    /// <returns>False when the deadline passed first.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public bool WaitFor(int fd, PollEvents events) => WaitFor(fd, events, _deadline);

    /// <summary>The same with an earlier deadline.</summary>
    /// <param name="fd">The descriptor, or -1 to wait for the time alone.</param>
    /// <param name="events">The events asked for.</param>
    /// <param name="sliceMilliseconds">Milliseconds from now; the deadline still holds.</param>
    public bool WaitFor(int fd, PollEvents events, int sliceMilliseconds) =>
        WaitFor(fd, events, Math.Min(_deadline, MonotonicClock.Milliseconds + sliceMilliseconds));

    /// <inheritdoc/>
    public void Dispose()
    {
        // First the registration: its disposal waits for a callback that may still write to the eventfd.
        _registration.Dispose();
        _wakeUp?.Dispose();
    }

    private bool WaitFor(int fd, PollEvents events, long deadline)
    {
        _cancellationToken.ThrowIfCancellationRequested();
        Span<PollDescriptor> entries =
        [
            new PollDescriptor(fd, events),
            new PollDescriptor(_wakeUp?.Value ?? -1, PollEvents.In),
        ];
        int timeout = (int)Math.Clamp(deadline - MonotonicClock.Milliseconds, 0, int.MaxValue);
        int ready = PosixException.Check(Posix.Poll(entries, timeout), "wait for the server");
        _cancellationToken.ThrowIfCancellationRequested();
        return ready > 0;
    }
}
