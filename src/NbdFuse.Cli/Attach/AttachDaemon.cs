using System.Runtime;
using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Attach.Control;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>Serves one attached device from its making to its end, by whichever driver.</summary>
/// <remarks>
/// THREADING: control plane. Detaching is asked for by several sides at once (control socket, signals); a gate makes them take
/// turns, and a forced one first makes the turn before it end, by failing all requests.
/// </remarks>
internal sealed partial class AttachDaemon : IDisposable
{
    // A patient detach that nobody waits for: who has the device by now without our knowing is found out long before.
    // What the process makes is for its user.
    private const int Private = 0x3F;

    private static readonly TimeSpan UnheardPatience = TimeSpan.FromSeconds(30);

    private readonly AttachArguments _arguments;
    private readonly AttachEntry _entry;
    private readonly ILogger _logger;
    private readonly DriverContext _context;
    private readonly SemaphoreSlim _gate = new(1);
    private readonly CommandLogOptions _logOptions;
    private readonly IReadOnlyList<Guarantee> _protection;
    private readonly TaskCompletionSource<string> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private AttachState _state;
    private IDeviceDriver? _driver;
    private volatile bool _isDetaching;
    private volatile bool _isForced;

    // The device is, or may be, still there although we end: its entry tells how to go on.
    private volatile bool _isLeft;
    private volatile bool _isLost;

    /// <summary>Prepares the daemon.</summary>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="entry">The daemon's directory; belongs to this object from here on.</param>
    /// <param name="loggers">The log.</param>
    /// <param name="logOptions">How much is logged.</param>
    /// <param name="keeper">The keeper that has started this process; null without.</param>
    public AttachDaemon(
        AttachArguments arguments, AttachEntry entry, ILoggerFactory loggers, CommandLogOptions logOptions, KeeperLink? keeper = null)
    {
        _keeper = keeper;
        _arguments = arguments;
        _entry = entry;
        _logOptions = logOptions;
        Privileges.HideKeys(arguments.Tls);
        if (arguments.RehearsalDelay == TimeSpan.Zero)
        {
            // Not at boot, where this process writes the files of the new system, too.
            Posix.Umask(Private);
        }

        _protection = ProcessProtection.Apply();
        _context = new DriverContext(arguments, entry, loggers, Publish) { Keeper = keeper };
        _logger = _context.Logger;
        _state = Identify(new AttachState { Words = arguments.Words });
    }

    /// <summary>The driver; null before one is chosen.</summary>
    public IDeviceDriver? Driver => _driver;

    /// <summary>Runs to the end of the device.</summary>
    /// <param name="ready">Hears the path of the usable device; false when nobody waits for it any more.</param>
    /// <returns>The exit code.</returns>
    /// <exception cref="IOException">There is no device, or it ended badly; nothing of it is left.</exception>
    public async Task<int> RunAsync(Func<string, bool> ready)
    {
        using var signals = new AttachSignals();
        Task<int> signal = signals.NextAsync();
        try
        {
            if (_keeper is { IsResuming: true })
            {
                return await ResumeAsync(ready, signals, signal).ConfigureAwait(false);
            }

            _entry.Write(_state);
            foreach (Guarantee missing in _protection.Where(guarantee => !guarantee.InForce))
            {
                AttachLog.NotInForce(_logger, missing.Name, missing.Reason!);
            }

            DriverDevice device = await BringUpAsync(signal).ConfigureAwait(false);
            await ServeOrTakeDownAsync(device, ready, signals, signal).ConfigureAwait(false);
            return ExitCode;
        }
        finally
        {
            if (_driver is not null)
            {
                await _driver.DisposeAsync().ConfigureAwait(false);
            }

            if (!_isLeft && !HasTakenOver() && !IsFollowed)
            {
                _entry.Remove();
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _gate.Dispose();

    private async Task ServeOrTakeDownAsync(DriverDevice device, Func<string, bool> ready, AttachSignals signals, Task<int> signal)
    {
        try
        {
            Announce(device);
            if (!device.NeedsProcess)
            {
                Publish(state => state with { Pid = 0, ProcessStart = 0 });
                _isLeft = ready(device.Path) || !await DetachUnheardAsync().ConfigureAwait(false);
                return;
            }

            var control = new ControlServer(_entry.SocketPath, AnswerAsync);
            await using (control.ConfigureAwait(false))
            {
                if (_arguments.RehearsalDelay == TimeSpan.Zero)
                {
                    await Rehearsal.RunAsync(_entry, _logOptions).ConfigureAwait(false);
                }

                await TakeOverAsync().ConfigureAwait(false);

                // A path of a socket in the URI may have been relative; from here on nothing is looked up any more.
                Directory.SetCurrentDirectory("/");
                // At boot whoever hears of the device goes on to make it the root.
                bool isBoot = _arguments.RehearsalDelay != TimeSpan.Zero;
                if (!isBoot)
                {
                    Privileges.Drop(Privileges.Device, _context.Target, _logger);
                }

                Task? unheard = ready(device.Path) ? null : DetachUnheardAsync();
                if (isBoot)
                {
                    Privileges.Drop(Privileges.Device, _context.Target, _logger);
                }

                using var ending = new CancellationTokenSource();
                Task rehearsal = RehearseLateAsync(ending.Token);
                await ServeAsync(signals, signal, unheard).ConfigureAwait(false);
                await ending.CancelAsync().ConfigureAwait(false);

                // It uses the directory that is removed next.
                await rehearsal.ConfigureAwait(false);
                if (!_isLeft && !IsFollowed)
                {
                    _entry.Remove();
                }
            }
        }
        catch when (!_done.Task.IsCompleted && !_arguments.Recover && !IsFollowed && !_isLeft)
        {
            // Whatever it was: without this process the device would be dead, and with its entry nobody would know of it any more.
            // One that was taken over stays for another attempt.
            await DetachAsync(force: true).ConfigureAwait(false);
            throw;
        }
    }

    private async Task RehearseLateAsync(CancellationToken ending)
    {
        if (_arguments.RehearsalDelay == TimeSpan.Zero)
        {
            return;
        }

        if (await Task.WhenAny(Task.Delay(_arguments.RehearsalDelay, ending)).ConfigureAwait(false) is { IsCanceled: false })
        {
            await Rehearsal.RunAsync(_entry, _logOptions).ConfigureAwait(false);
        }
    }

    /// <summary>Whether the kernel has given us a device that a dead process had left, and still has it.</summary>
    private bool HasTakenOver() =>
        _arguments.Recover && !_done.Task.IsCompleted
        && DeviceDrivers.Devices.Kinds.Any(kind => kind.Driver == _state.Driver && kind.Find(_entry) is not null);

    /// <summary>The process that asked for the device has gone before it heard of it.</summary>
    /// <returns>Whether the device is gone; somebody may use it by now.</returns>
    private async Task<bool> DetachUnheardAsync()
    {
        if (_arguments.Recover)
        {
            // It has users: that they go on is what was asked for.
            AttachLog.Warning(_logger, "the process that asked for the device is gone; the device stays");
            return false;
        }

        AttachLog.Warning(_logger, "the process that asked for the device is gone: it is detached again");
        Task<ControlReply> patient = DetachAsync(force: false);
        if (await Task.WhenAny(patient, Task.Delay(UnheardPatience)).ConfigureAwait(false) != patient)
        {
            return (await DetachAsync(force: true).ConfigureAwait(false)).Ok;
        }

        ControlReply reply = await patient.ConfigureAwait(false);
        if (!reply.Ok)
        {
            AttachLog.Warning(_logger, $"the device stays: {reply.Message}");
        }

        return reply.Ok;
    }

    private void Publish(Func<AttachState, AttachState> change)
    {
        _state = change(_state);
        _entry.Write(_state);
    }

    private async Task<DriverDevice> BringUpAsync(Task<int> signal)
    {
        Dictionary<string, string> refused = [];
        while (true)
        {
            DriverEntry chosen = DeviceDrivers.Choose(_arguments.Driver, _arguments.Device, _logger, refused);
            Publish(state => state with { Driver = chosen.Name, Export = _arguments.Uri.ExportName, Server = _context.Target.ToString()! });
            _driver = chosen.Create(_context);
            try
            {
                return await BringUpAsync(_driver, signal).ConfigureAwait(false);
            }
            catch (DriverUnusableException e) when (_arguments.Driver == DeviceDrivers.Automatic && !signal.IsCompleted)
            {
                refused.Add(chosen.Name, e.Message);
                await _driver.DisposeAsync().ConfigureAwait(false);
                _driver = null;
            }
        }
    }

    private static async Task<DriverDevice> BringUpAsync(IDeviceDriver driver, Task<int> signal)
    {
        using var interrupted = new CancellationTokenSource();
        Task<DriverDevice> up = driver.BringUpAsync(interrupted.Token);
        if (await Task.WhenAny(up, signal).ConfigureAwait(false) == signal)
        {
            await interrupted.CancelAsync().ConfigureAwait(false);
        }

        return await up.ConfigureAwait(false);
    }

    private void Announce(DriverDevice device)
    {
        Publish(state => state with
        {
            Device = device.Path,
            Size = device.Size,
            UnreachableTail = device.ExportSize - device.Size,
            BlockSize = device.BlockSize,
            Partitions = device.Partitions.Count > 0 ? device.Partitions : null,
            ReadOnly = device.IsReadOnly,
            Server = device.Server,
            Connections = _driver!.Connections,
        });
        if (_state.UnreachableTail > 0)
        {
            AttachLog.TailUnreachable(_logger, device.Path, device.ExportSize, device.Size, device.BlockSize);
        }

        AttachLog.Attached(
            _logger, device.Path, device.Size, device.Server, _driver!.Connections, device.IsReadOnly ? "read-only" : "read-write");
    }

    /// <param name="signals">Signals.</param>
    /// <param name="signal">The next one.</param>
    /// <param name="turn">A detach that is under way already, or null.</param>
    private async Task ServeAsync(AttachSignals signals, Task<int> signal, Task? turn)
    {
        Task never = Task.Delay(Timeout.Infinite);
        Task lost = _driver!.ServerLost;
        turn ??= never;
        string? again = null;
        Task handOver = _keeper?.HandOver ?? never;
        Task unkept = _keeper?.Lost ?? never;
        while (!_done.Task.IsCompleted)
        {
            Task first = await Task.WhenAny(_done.Task, _driver.Ended, lost, signal, turn, handOver, unkept).ConfigureAwait(false);
            if (first == unkept)
            {
                unkept = never;
                GoOnAlone();
            }
            else if (first == handOver)
            {
                handOver = never;
                if (await HandOverAsync().ConfigureAwait(false))
                {
                    return;
                }
            }
            else if (first == signal)
            {
                string name = TerminationSignals.NameOf(await signal.ConfigureAwait(false));
                signal = signals.NextAsync();
                if (turn == never)
                {
                    // Not waited for here: it may wait for the server as long as that likes, and what else happens must be seen.
                    turn = DetachBySignalAsync(name);
                }
                else
                {
                    // Should the turn under way refuse, it may have looked before whoever sent this let go of the device.
                    again = name;
                }
            }
            else if (first == turn)
            {
                await turn.ConfigureAwait(false);
                turn = again is null ? never : DetachBySignalAsync(again);
                again = null;
            }
            else if (first == lost)
            {
                // Said once; the device stays, so that whoever uses it gets errors.
                lost = never;
                AttachLog.ServerLost(_logger, _state.Device, ErrorText.OneLine((await _driver.ServerLost.ConfigureAwait(false)).Message));
            }
            else if (first == _driver.Ended)
            {
                await FinishAsync(await _driver.Ended.ConfigureAwait(false)).ConfigureAwait(false);
            }
        }

        AttachLog.Detached(_logger, _state.Device, await _done.Task.ConfigureAwait(false));
    }

    private async Task DetachBySignalAsync(string name)
    {
        ControlReply reply = await DetachAsync(force: false).ConfigureAwait(false);
        if (!reply.Ok)
        {
            AttachLog.SignalIgnored(_logger, name, reply.Message!);
        }
    }

    /// <summary>The device has ended: somebody else has detached it, it has failed, or a detach of ours is about to see it.</summary>
    private async Task FinishAsync(DriverEnd end)
    {
        if (!end.IsClean && _isForced)
        {
            // It is the forced turn's doing, which always ends, and may not have the gate yet.
            await _done.Task.ConfigureAwait(false);
            return;
        }

        if (!end.IsClean)
        {
            // What a patient turn waits for may never come now, and the turn must end before ours can begin.
            await _driver!.AbortAsync().ConfigureAwait(false);
        }

        await _gate.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_done.Task.IsCompleted)
            {
                return;
            }

            if (end.IsClean)
            {
                TakeDownResult result = await _driver!.FinishAsync().ConfigureAwait(false);
                NoteLoss(result);
                _done.TrySetResult(result.Message is null ? "by somebody else" : $"by somebody else; {result.Message}");
                return;
            }
        }
        finally
        {
            _gate.Release();
        }

        await DetachAsync(force: true).ConfigureAwait(false);
        _entry.KeepLog();
        throw new AttachException($"{_state.Device}: {end.Message}; the device was detached");
    }

    private void NoteLoss(TakeDownResult result)
    {
        if (result.IsLost)
        {
            _isLost = true;
            AttachLog.WritesLost(_logger, result.Message!);
            _entry.KeepLog();
        }
    }

    private async Task<ControlReply> AnswerAsync(ControlRequest request) => request.Request switch
    {
        ControlRequest.Status => new ControlReply { Ok = true, Status = Status() },
        ControlRequest.Detach => await DetachAsync(request.Force).ConfigureAwait(false),
        ControlRequest.Upgrade => MakeRoom(),
        _ => new ControlReply { Message = "this daemon knows the requests status, detach and upgrade" },
    };

    private AttachStatus Status()
    {
        NbdException? lost = _driver!.ServerLost.IsCompletedSuccessfully ? _driver.ServerLost.Result : null;
        return new AttachStatus
        {
            Attached = _state with { Connections = _driver.Connections },
            State = _isDetaching ? "detaching" : lost is not null ? "failed" : _driver.Outage is not null ? "recovering" : "online",
            Reason = lost is null ? _driver.Outage : ErrorText.OneLine(lost.Message),
            Guarantees = [.. _protection, .. _driver.Guarantees],
            CompiledMethods = JitInfo.GetCompiledMethodCount(),
            InFlight = _driver.InFlight,
            Recovery = _driver.Recovery,
            Operations = _driver.Operations,
            Activity = _driver.Activity,
        };
    }

    private async Task<ControlReply> DetachAsync(bool force)
    {
        _isDetaching = true;
        if (force)
        {
            _isForced = true;

            // Before the gate: an earlier, patient turn may be waiting for the server.
            await _driver!.AbortAsync().ConfigureAwait(false);
        }

        await _gate.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_done.Task.IsCompleted)
            {
                return new ControlReply { Ok = true };
            }

            _isDetaching = true;
            TakeDownResult result = force
                ? await _driver!.TakeDownByForceAsync().ConfigureAwait(false)
                : await _driver!.TakeDownAsync().ConfigureAwait(false);

            if (!force)
            {
                NoteLoss(result);
            }

            // By force it is over in any case: nothing answers for the device any more. One that is left keeps its entry.
            if (result.IsDone || force)
            {
                _isLeft = !result.IsDone;
                _done.TrySetResult(force ? "by force" : "as asked");
            }

            return new ControlReply { Ok = result.IsDone, Message = result.Message, Lost = result.IsLost && !force };
        }
        catch when (force && _done.TrySetResult("by force, as far as possible"))
        {
            // Nothing answers for the device any more; its entry stays, for another attempt.
            _isLeft = true;
            throw;
        }
        finally
        {
            _isDetaching = _done.Task.IsCompleted || _isForced;
            _gate.Release();
        }
    }
}
