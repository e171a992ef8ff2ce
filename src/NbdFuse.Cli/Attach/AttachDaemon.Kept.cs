using NbdFuse.Attach;
using NbdFuse.Attach.Control;

namespace NbdFuse.Cli;

/// <content>What is different when a keeper has started this process, and follows it with another one when it dies.</content>
internal sealed partial class AttachDaemon
{
    private readonly KeeperLink? _keeper;
    private bool _hasMadeRoom;

    // This process leaves the device to another one: nothing of it may be taken down.
    private bool IsFollowed =>
        _hasMadeRoom || (_keeper is { IsResuming: true, IsServing: false, Lost.IsCompleted: false } && !_isRefused);

    // The device cannot be gone on with, by anybody.
    private bool _isRefused;

    private int ExitCode => _hasMadeRoom ? KeeperLink.HandOverCode : _isLost ? MountCommand.Failed : 0;

    /// <summary>The daemon is the keeper, for as long as it lives.</summary>
    private AttachState Identify(AttachState state)
    {
        int own = Environment.ProcessId;
        int pid = _keeper is { Lost.IsCompleted: false } keeper ? keeper.KeeperPid : own;
        bool isAlone = pid == own;
        return state with
        {
            Pid = pid,
            ProcessStart = AttachEntry.ProcessStart(pid),
            Worker = isAlone ? 0 : own,
            WorkerStart = isAlone ? 0 : AttachEntry.ProcessStart(own),
        };
    }

    private async Task<int> ResumeAsync(Func<string, bool> ready, AttachSignals signals, Task<int> signal)
    {
        AttachState left = _entry.Read()
            ?? throw new AttachException($"{_entry.Directory}: what the process before has written down cannot be read");
        var driver = (IKeptDriver)DeviceDrivers.All.First(entry => entry.Name == left.Driver).Create(_context);
        _driver = driver;

        // The kernel knows a device that outlives its process by that process: it is named as long as it is not ours.
        _state = driver.OutlivesKeeper ? left : Identify(left);
        _entry.Write(_state);
        DriverDevice device;
        try
        {
            device = await driver.ResumeAsync(left, CancellationToken.None).ConfigureAwait(false);
        }
        catch (KeptExportException)
        {
            await RefuseAsync(driver).ConfigureAwait(false);
            throw;
        }

        // What the process before has listened on.
        File.Delete(_entry.SocketPath);
        await ServeOrTakeDownAsync(device, ready, signals, signal).ConfigureAwait(false);
        return ExitCode;
    }

    private async Task TakeOverAsync()
    {
        if (_keeper is not { IsResuming: true })
        {
            return;
        }

        var driver = (IKeptDriver)_driver!;
        try
        {
            await driver.TakeOverAsync().ConfigureAwait(false);
        }
        catch (KeptExportException)
        {
            // Who called takes the device down, unless it stays.
            _isRefused = true;
            _isLeft = driver.OutlivesKeeper;
            _entry.KeepLog();
            throw;
        }

        if (driver.OutlivesKeeper)
        {
            Publish(Identify);
        }
    }

    /// <summary>Nobody serves the device any more: whoever waits for it gets an error, and then it goes; or it stays, and they wait.</summary>
    private async Task RefuseAsync(IKeptDriver driver)
    {
        _isRefused = true;
        _isLeft = driver.OutlivesKeeper;
        if (!_isLeft)
        {
            _keeper!.Abandon();
            await LoopHelper.RunAsync(LoopHelperCommand.DetachNamed, _entry.LoopName).ConfigureAwait(false);
        }

        _entry.KeepLog();
    }

    private void GoOnAlone()
    {
        AttachLog.Warning(_logger, $"{_state.Device}: the keeper has died: this process goes on, but nobody follows it");
        Publish(Identify);
    }

    private ControlReply MakeRoom()
    {
        if (_keeper is not { Lost.IsCompleted: false } keeper || _isDetaching)
        {
            return new ControlReply
            {
                Message = _isDetaching ? $"{_state.Device} is being detached"
                    : $"{_state.Device} has no keeper: nobody would follow this process",
            };
        }

        if ((_driver as IKeptDriver)?.WhyNoUpgrade is { } reason)
        {
            return new ControlReply { Message = $"{_state.Device}: {reason}" };
        }

        keeper.MakeRoom();
        return new ControlReply { Ok = true };
    }

    /// <returns>False when the device has ended meanwhile, which is then seen by its end.</returns>
    private async Task<bool> HandOverAsync()
    {
        await _gate.WaitAsync().ConfigureAwait(false);
        try
        {
            _hasMadeRoom = !_done.Task.IsCompleted && await ((IKeptDriver)_driver!).HandOverAsync().ConfigureAwait(false);
            return _hasMadeRoom;
        }
        finally
        {
            _gate.Release();
        }
    }
}
