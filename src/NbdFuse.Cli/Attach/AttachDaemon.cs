using System.Runtime;
using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Attach.Control;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>Serves one attached device from its making to its end, by whichever driver.</summary>
/// <remarks>
/// THREADING: control plane. Detaching is asked for by several sides at once (control socket, signals); a gate makes them take
/// turns, and a forced one first makes the turn before it end, by failing all requests.
/// </remarks>
internal sealed class AttachDaemon : IDisposable
{
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

    /// <summary>Prepares the daemon.</summary>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="entry">The daemon's directory; belongs to this object from here on.</param>
    /// <param name="loggers">The log.</param>
    /// <param name="logOptions">How much is logged.</param>
    public AttachDaemon(AttachArguments arguments, AttachEntry entry, ILoggerFactory loggers, CommandLogOptions logOptions)
    {
        _arguments = arguments;
        _entry = entry;
        _logOptions = logOptions;
        _protection = ProcessProtection.Apply();
        _context = new DriverContext(arguments, entry, loggers, Publish);
        _logger = _context.Logger;
        _state = new AttachState
        {
            Pid = Environment.ProcessId,
            ProcessStart = AttachEntry.ProcessStart(Environment.ProcessId),
            Words = arguments.Words,
        };
    }

    /// <summary>Runs to the end of the device.</summary>
    /// <param name="ready">Hears the path of the usable device; false when nobody waits for it any more.</param>
    /// <returns>The exit code.</returns>
    /// <exception cref="IOException">There is no device, or it ended badly; nothing of it is left.</exception>
    public async Task<int> RunAsync(Func<string, bool> ready)
    {
        using var signals = new AttachSignals();
        Task<int> signal = signals.NextAsync();
        bool leaveEntry = false;
        try
        {
            _entry.Write(_state);
            foreach (Guarantee missing in _protection.Where(guarantee => !guarantee.InForce))
            {
                AttachLog.NotInForce(_logger, missing.Name, missing.Reason!);
            }

            DriverDevice device = await BringUpAsync(signal).ConfigureAwait(false);
            if (!device.NeedsProcess)
            {
                leaveEntry = await LeaveOrTakeDownAsync(device, ready).ConfigureAwait(false);
                return leaveEntry ? 0 : 1;
            }

            await ServeOrTakeDownAsync(device, ready, signals, signal).ConfigureAwait(false);
            return 0;
        }
        finally
        {
            if (_driver is not null)
            {
                await _driver.DisposeAsync().ConfigureAwait(false);
            }

            if (!leaveEntry)
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
            var control = new ControlServer(_entry.SocketPath, AnswerAsync);
            await using (control.ConfigureAwait(false))
            {
                await Rehearsal.RunAsync(_entry, _logOptions).ConfigureAwait(false);

                // A path of a socket in the URI may have been relative; from here on nothing is looked up any more.
                Directory.SetCurrentDirectory("/");
                if (!ready(device.Path))
                {
                    AttachLog.Warning(_logger, "the process that asked for the device is gone: it is detached again");
                    await DetachAsync(force: true).ConfigureAwait(false);
                }

                await ServeAsync(signals, signal).ConfigureAwait(false);
                _entry.Remove();
            }
        }
        catch when (!_done.Task.IsCompleted && !_arguments.Recover)
        {
            // Whatever it was: without this process the device would be dead, and with its entry nobody would know of it any more.
            // One that was taken over stays for another attempt.
            await DetachAsync(force: true).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Leaves a device to the kernel.</summary>
    /// <returns>False when nobody waits for it any more, and it was taken down.</returns>
    private async Task<bool> LeaveOrTakeDownAsync(DriverDevice device, Func<string, bool> ready)
    {
        try
        {
            Publish(state => state with { Pid = 0, ProcessStart = 0 });
            if (ready(device.Path))
            {
                return true;
            }
        }
        catch
        {
            await DetachAsync(force: true).ConfigureAwait(false);
            throw;
        }

        AttachLog.Warning(_logger, "the process that asked for the device is gone: it is detached again");
        await DetachAsync(force: true).ConfigureAwait(false);
        return false;
    }

    private void Publish(Func<AttachState, AttachState> change)
    {
        _state = change(_state);
        _entry.Write(_state);
    }

    private async Task<DriverDevice> BringUpAsync(Task<int> signal)
    {
        DriverEntry chosen = DeviceDrivers.Choose(_arguments.Driver, _arguments.Device, _logger);
        Publish(state => state with { Driver = chosen.Name, Export = _arguments.Uri.ExportName, Server = _context.Target.ToString()! });
        _driver = chosen.Create(_context);
        using var interrupted = new CancellationTokenSource();
        Task<DriverDevice> up = _driver.BringUpAsync(interrupted.Token);
        if (await Task.WhenAny(up, signal).ConfigureAwait(false) == signal)
        {
            await interrupted.CancelAsync().ConfigureAwait(false);
        }

        DriverDevice device = await up.ConfigureAwait(false);
        try
        {
            Describe(device);
        }
        catch when (!_arguments.Recover)
        {
            // Without its entry nobody would know of the device.
            await DetachAsync(force: true).ConfigureAwait(false);
            throw;
        }

        return device;
    }

    private void Describe(DriverDevice device)
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

    private async Task ServeAsync(AttachSignals signals, Task<int> signal)
    {
        Task lost = _driver!.ServerLost;
        while (!_done.Task.IsCompleted)
        {
            Task first = await Task.WhenAny(_done.Task, _driver.Ended, lost, signal).ConfigureAwait(false);
            if (first == signal)
            {
                string name = TerminationSignals.NameOf(await signal.ConfigureAwait(false));
                signal = signals.NextAsync();
                ControlReply reply = await DetachAsync(force: false).ConfigureAwait(false);
                if (!reply.Ok)
                {
                    AttachLog.SignalIgnored(_logger, name, reply.Message!);
                }
            }
            else if (first == lost)
            {
                // Said once; the device stays, so that whoever uses it gets errors.
                lost = Task.Delay(Timeout.Infinite);
                AttachLog.ServerLost(_logger, _state.Device, ErrorText.OneLine((await _driver.ServerLost.ConfigureAwait(false)).Message));
            }
            else if (first == _driver.Ended && !_isDetaching)
            {
                await FinishAsync(await _driver.Ended.ConfigureAwait(false)).ConfigureAwait(false);
            }
            else if (first == _driver.Ended)
            {
                await _done.Task.ConfigureAwait(false);
            }
        }

        AttachLog.Detached(_logger, _state.Device, await _done.Task.ConfigureAwait(false));
    }

    /// <summary>Somebody else has detached the device, or it has failed.</summary>
    private async Task FinishAsync(DriverEnd end)
    {
        if (end.IsClean)
        {
            TakeDownResult result = await _driver!.FinishAsync().ConfigureAwait(false);
            _done.TrySetResult(result.Message is null ? "by somebody else" : $"by somebody else; {result.Message}");
            return;
        }

        await DetachAsync(force: true).ConfigureAwait(false);
        _entry.KeepLog();
        throw new AttachException($"{_state.Device}: {end.Message}; the device was detached");
    }

    private async Task<ControlReply> AnswerAsync(ControlRequest request) => request.Request switch
    {
        ControlRequest.Status => new ControlReply { Ok = true, Status = Status() },
        ControlRequest.Detach => await DetachAsync(request.Force).ConfigureAwait(false),
        _ => new ControlReply { Message = "this daemon knows the requests status and detach" },
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

            // By force it is over in any case: nothing answers for the device any more.
            if (result.IsDone || force)
            {
                _done.TrySetResult(force ? "by force" : "as asked");
            }

            return new ControlReply { Ok = result.IsDone, Message = result.Message };
        }
        finally
        {
            _isDetaching = _done.Task.IsCompleted || _isForced;
            _gate.Release();
        }
    }
}
