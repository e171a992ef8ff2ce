using System.Runtime.InteropServices;

namespace NbdFuse.Cli;

/// <summary>Signals that ask a keeper for the end; one that its starter ignores stays ignored, by the runtime.</summary>
internal sealed class KeeperSignals : IDisposable
{
    private readonly List<PosixSignalRegistration> _registrations = [];

    /// <summary>Begins to listen.</summary>
    /// <param name="received">Hears of each, with its number; called on any thread.</param>
    public KeeperSignals(Action<int> received)
    {
        (PosixSignal Signal, int Number)[] signals = [(PosixSignal.SIGINT, 2), (PosixSignal.SIGTERM, 15), (PosixSignal.SIGHUP, 1)];
        foreach ((PosixSignal signal, int number) in signals)
        {
            _registrations.Add(PosixSignalRegistration.Create(
                signal,
                context =>
                {
                    context.Cancel = true;
                    received(number);
                }));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }
    }
}
