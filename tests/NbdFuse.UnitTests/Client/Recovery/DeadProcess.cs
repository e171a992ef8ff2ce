using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.TestKit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>Stands in for a keeper: what a process that dies has left in its write log, for the next one.</summary>
internal sealed class DeadProcess : IDisposable
{
    private FileDescriptor? _memory;
    private byte[]? _left;

    /// <summary>Options of the first process, or of the next one.</summary>
    /// <param name="options">Other options.</param>
    public NbdExportOptions Options(NbdExportOptions? options = null) => (options ?? new NbdExportOptions { Connections = 1 }) with
    {
        KeptLog = new NbdKeptLog(Left(), memory =>
        {
            _memory?.Dispose();
            _memory = Duplicate(memory);
        }),
    };

    /// <summary>Has a first process open the export, do something, and die.</summary>
    /// <param name="server">The server.</param>
    /// <param name="life">What it does.</param>
    public async Task LiveAsync(VolatileServer server, Func<RecoveryHarness, Task> life)
    {
        await using RecoveryHarness process = await RecoveryHarness.OpenAsync(server.SocketPath, Options());
        await life(process);
        await KillAsync(process);
    }

    /// <summary>
    /// Has a process die between two turns of its loop: what happens to its memory afterwards, before it is disposed of, nobody
    /// will see.
    /// </summary>
    /// <param name="process">The process.</param>
    /// <param name="atDeath">Runs at the moment of the death, on the loop.</param>
    public Task KillAsync(RecoveryHarness process, Action? atDeath = null) => process.Driver.OnLoop(() =>
    {
        using NativeRegion region = NativeRegion.Adopt(Duplicate(_memory!));
        _left = region.Span(0, (int)region.Length).ToArray();
        atDeath?.Invoke();
    });

    /// <summary>Damages what was left.</summary>
    /// <param name="offset">Which byte.</param>
    public void Damage(int offset) => _left![offset] ^= 0x40;

    /// <inheritdoc/>
    public void Dispose() => _memory?.Dispose();

    private static FileDescriptor Duplicate(FileDescriptor descriptor) =>
        FileDescriptor.OwnOrThrow(Posix.Dup(descriptor.Value), "duplicate a descriptor");

    private FileDescriptor? Left()
    {
        if (_left is null)
        {
            return null;
        }

        using NativeRegion region = NativeRegion.Create("left", _left.Length);
        _left.CopyTo(region.Span(0, _left.Length));
        _memory?.Dispose();
        _memory = Duplicate(region.FileDescriptor);
        return Duplicate(region.FileDescriptor);
    }
}
