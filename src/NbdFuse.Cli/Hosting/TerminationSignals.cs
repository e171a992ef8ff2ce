using System.Runtime.InteropServices;

namespace NbdFuse.Cli;

/// <summary>
/// SIGINT, SIGTERM and SIGHUP: the first asks for a clean end, the second ends the process at once.
/// A signal that the starter of the process ignores (as shells do for SIGINT of background jobs) stays ignored.
/// </summary>
internal sealed class TerminationSignals : IDisposable
{
    private readonly TaskCompletionSource<int> _first = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Never disposed: a handler may be running on the pool when this object is, and would throw there, which ends the process.
    // A source without timer and wait handle holds nothing that needs it.
    private readonly CancellationTokenSource _cancellation = new();
    private readonly List<PosixSignalRegistration> _registrations = [];
    private readonly Action _endNow;
    private int _count;

    /// <summary>Begins to listen.</summary>
    /// <param name="endNow">What to do at the second signal; must not return.</param>
    public TerminationSignals(Action endNow)
    {
        _endNow = endNow;
        Register(PosixSignal.SIGINT, 2);
        Register(PosixSignal.SIGTERM, 15);
        Register(PosixSignal.SIGHUP, 1);
    }

    /// <summary>Ends with the number of the first signal.</summary>
    public Task<int> First => _first.Task;

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => _cancellation.Token;

    /// <summary>A signal's name, such as SIGTERM.</summary>
    /// <param name="number">1, 2 or 15.</param>
    public static string NameOf(int number) => number switch
    {
        1 => "SIGHUP",
        2 => "SIGINT",
        _ => "SIGTERM",
    };

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }
    }

    /// <summary>The end has come without a signal, or its work is done: any signal from here on ends the process at once.</summary>
    public void ExpectEnd() => Interlocked.Increment(ref _count);

    /// <summary>Takes a signal. Any thread.</summary>
    /// <param name="number">Its number.</param>
    internal void OnSignal(int number)
    {
        if (Interlocked.Increment(ref _count) > 1)
        {
            _endNow();
            return;
        }

        _first.TrySetResult(number);
        _cancellation.Cancel();
    }

    private void Register(PosixSignal signal, int number) => _registrations.Add(PosixSignalRegistration.Create(
        signal,
        context =>
        {
            context.Cancel = true;
            OnSignal(number);
        }));
}
