using NbdFuse.Client;

namespace NbdFuse.Cli;

/// <summary>A device that is served in the foreground, as systemd sees it: Type=notify, STATUS, WATCHDOG.</summary>
/// <param name="notify">Sends a state to systemd (sd_notify(3)).</param>
internal sealed class AttachService(Action<string> notify) : IAsyncDisposable
{
    private SystemdWatchdog? _watchdog;
    private Task _told = Task.CompletedTask;

    /// <summary>There is no device yet.</summary>
    /// <param name="target">Where the server is.</param>
    public void Connecting(NbdTarget target) => notify(ServiceStatus.Connecting(target));

    /// <summary>The device can be used; from here on systemd hears of changes.</summary>
    /// <param name="device">Its path.</param>
    /// <param name="export">What this process serves; null when the kernel does.</param>
    public void Usable(string device, NbdExport? export)
    {
        notify(ServiceStatus.Usable(device));
        if (export is not null)
        {
            // Not on the loop, which nothing may hold up; one after the other.
            export.StateChanged += change => _told = _told.ContinueWith(
                _ => Tell(change, device), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }

        // Where the kernel serves there is no loop: then it is the threads that supervise which must live.
        _watchdog = SystemdWatchdog.Start(export is not null ? export.Post : ToPool, notify);
    }

    /// <summary>The device is gone.</summary>
    public void Stopping() => notify("STOPPING=1");

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_watchdog is not null)
        {
            await _watchdog.DisposeAsync().ConfigureAwait(false);
        }
    }

    private static bool ToPool(Action action) => ThreadPool.QueueUserWorkItem(static state => state(), action, preferLocal: false);

    private void Tell(NbdExportStateChange change, string device)
    {
        if (ServiceStatus.Of(change, device) is { } status)
        {
            notify(status);
        }
    }
}
