using NbdFuse.Attach;
using NbdFuse.Ublk;

namespace NbdFuse.Cli;

/// <content>
/// What is different when a keeper has started this process: it gives the device to the next one. The kernel holds what was asked
/// of the device; the keeper holds the connections, which must come to their end before anything is sent again, and the write log.
/// </content>
internal sealed partial class UblkDriver
{
    // Number of the device of a dead process.
    private int _resumed;

    /// <inheritdoc/>
    public bool OutlivesKeeper => true;

    /// <inheritdoc/>
    public string? WhyNoUpgrade => "a ublk device is not handed over on purpose; 'kill -9' of the process that serves it does that (status --json names it)";

    /// <inheritdoc/>
    public async Task<DriverDevice> ResumeAsync(AttachState state, CancellationToken interrupted)
    {
        _resumed = UblkKind.TryNumber(state.Device, out int number)
            ? number
            : throw new AttachException($"{state.Device} is no ublk device");
        await PrepareAsync(interrupted).ConfigureAwait(false);
        KeptMount.Check(context.Keeper, _export!);
        return new DriverDevice
        {
            Path = state.Device,
            Size = state.Size,
            BlockSize = state.BlockSize,
            Partitions = state.Partitions ?? [],
            ExportSize = state.Size + state.UnreachableTail,
            IsReadOnly = state.ReadOnly,
            Server = context.Target.ToString()!,
        };
    }

    /// <inheritdoc/>
    public async Task TakeOverAsync()
    {
        await context.Keeper!.WaitForGoAsync(context.Entry.Directory).ConfigureAwait(false);
        _export!.TakeOver();
        using var giveUp = new CancellationTokenSource();
        _ = CancelWhenLostAsync(giveUp);
        try
        {
            _device = await UblkDevice.RecoverAsync(
                _resumed,
                _loop,
                _queue!,
                _export.Info,
                new UblkOptions { IsReadOnly = context.IsReadOnly },
                context.Loggers.CreateLogger(Name),
                giveUp.Token).ConfigureAwait(false);
        }
        catch (Exception) when (ServerLost.IsCompletedSuccessfully)
        {
            throw new KeptExportException(ServerLost.Result.Message);
        }

        Ended = EndAsync(_device);
        context.Keeper.Serving();
    }

    /// <inheritdoc/>
    public Task<bool> HandOverAsync() => Task.FromResult(false);
}
