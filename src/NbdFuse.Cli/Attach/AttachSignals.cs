using System.Runtime.InteropServices;
using System.Threading.Channels;

namespace NbdFuse.Cli;

/// <summary>SIGINT, SIGTERM and SIGHUP of an attach daemon: each is a question, none ends the process by itself.</summary>
internal sealed class AttachSignals : IDisposable
{
    private readonly Channel<int> _signals = Channel.CreateBounded<int>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    private readonly PosixSignalRegistration[] _registrations;

    /// <summary>Begins to listen.</summary>
    public AttachSignals()
    {
        _registrations = [Register(PosixSignal.SIGINT, 2), Register(PosixSignal.SIGTERM, 15), Register(PosixSignal.SIGHUP, 1)];
    }

    /// <summary>Waits for the next signal.</summary>
    /// <returns>Its number.</returns>
    public async Task<int> NextAsync() => await _signals.Reader.ReadAsync().ConfigureAwait(false);

    /// <inheritdoc/>
    public void Dispose() => Array.ForEach(_registrations, registration => registration.Dispose());

    private PosixSignalRegistration Register(PosixSignal signal, int number) => PosixSignalRegistration.Create(
        signal,
        context =>
        {
            context.Cancel = true;
            _signals.Writer.TryWrite(number);
        });
}
