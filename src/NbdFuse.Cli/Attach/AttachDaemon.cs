using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Attach.Control;
using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>Serves one attached device from its making to its end.</summary>
/// <remarks>
/// THREADING: control plane. Detaching is asked for by several sides at once (control socket, signals); a gate makes them take
/// turns, and a forced one first makes the turn before it end, by failing all requests.
/// </remarks>
internal sealed class AttachDaemon : IDisposable
{
    private const string FileName = "nbd";

    // How long the kernel may take to let go of the file once nobody uses the device.
    private static readonly TimeSpan ReleaseTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan HelperTimeout = TimeSpan.FromSeconds(30);

    private static readonly (BlockOperation Operation, string Name)[] Operations =
    [
        (BlockOperation.Read, "read"),
        (BlockOperation.Write, "write"),
        (BlockOperation.Flush, "flush"),
        (BlockOperation.Trim, "trim"),
        (BlockOperation.WriteZeroes, "write-zeroes"),
    ];

    private readonly AttachArguments _arguments;
    private readonly AttachEntry _entry;
    private readonly ILoggerFactory _loggers;
    private readonly ILogger _logger;
    private readonly SemaphoreSlim _gate = new(1);
    private readonly TaskCompletionSource<string> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private AttachState _state;
    private MountedExport? _mounted;
    private Task<NbdException>? _failure;
    private volatile bool _isDetaching;
    private volatile bool _isForced;

    /// <summary>Prepares the daemon.</summary>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="entry">The daemon's directory; belongs to this object from here on.</param>
    /// <param name="loggers">The log.</param>
    public AttachDaemon(AttachArguments arguments, AttachEntry entry, ILoggerFactory loggers)
    {
        _arguments = arguments;
        _entry = entry;
        _loggers = loggers;
        _logger = loggers.CreateLogger(ErrorText.Program);
        _state = new AttachState
        {
            Pid = Environment.ProcessId,
            ProcessStart = AttachEntry.ProcessStart(Environment.ProcessId),
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
        try
        {
            _entry.Write(_state);
            await OpenAsync(signal).ConfigureAwait(false);
            var control = new ControlServer(_entry.SocketPath, AnswerAsync);
            await using (control.ConfigureAwait(false))
            {
                // A path of a socket in the URI may have been relative; from here on nothing is looked up any more.
                Directory.SetCurrentDirectory("/");
                if (!ready(_state.Device))
                {
                    AttachLog.Warning(_logger, "the process that asked for the device is gone: it is detached again");
                    await DetachAsync(force: true).ConfigureAwait(false);
                }

                await ServeAsync(signals, signal).ConfigureAwait(false);
                _entry.Remove();
            }

            return 0;
        }
        finally
        {
            if (_mounted is not null)
            {
                await _mounted.DisposeAsync().ConfigureAwait(false);
            }

            _entry.Remove();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _gate.Dispose();

    private async Task OpenAsync(Task<int> signal)
    {
        FuseMountOptions options = FuseMountOptionParser.Parse(_arguments.MountOptions) with { AutoUnmount = false };
        var exportOptions = new NbdExportOptions
        {
            ExportName = _arguments.Uri.ExportName,
            ReadOnly = _arguments.ReadOnly || options.IsReadOnly,
            Connections = _arguments.Connections,
        };
        var target = NbdTarget.FromUri(_arguments.Uri);
        NbdExport export;
        using (var cancellation = new CancellationTokenSource())
        {
            Task<NbdExport> opening = NbdExport.OpenAsync(target, exportOptions, _loggers.CreateLogger("nbd"), cancellation.Token);
            if (await Task.WhenAny(opening, signal).ConfigureAwait(false) == signal)
            {
                await cancellation.CancelAsync().ConfigureAwait(false);
            }

            export = await opening.ConfigureAwait(false);
        }

        _failure = export.Failure;
        try
        {
            options = export.Info.IsReadOnly ? options with { Flags = options.Flags | MountFlags.ReadOnly } : options;
            FuseMount mount = FuseMounter.Mount(new MountTarget(_entry.MountPoint, FileName), options);
            _mounted = new MountedExport(export, mount, new NbdfuseArguments(), options, _loggers);
        }
        catch
        {
            await export.DisposeAsync().ConfigureAwait(false);
            throw;
        }

        _mounted.Start();
        _state = _state with
        {
            Server = target.ToString()!,
            Export = _arguments.Uri.ExportName,
            ReadOnly = export.Info.IsReadOnly,
            Connections = export.Connections,
        };
        await PutLoopOverAsync(signal).ConfigureAwait(false);
        if (export.Info.ExportSize != _state.Size)
        {
            AttachLog.TailUnreachable(_logger, _state.Device, export.Info.ExportSize, _state.Size);
        }

        AttachLog.Attached(
            _logger, _state.Device, _state.Size, _state.Server, _state.Connections, _state.ReadOnly ? "read-only" : "read-write");
    }

    private async Task PutLoopOverAsync(Task<int> signal)
    {
        Task<string[]> helper = LoopHelper.RunAsync(
            LoopHelperCommand.Attach,
            Path.Combine(_entry.MountPoint, FileName),
            _entry.LoopName,
            _arguments.Device ?? "-",
            _state.ReadOnly ? "ro" : "rw");
        Task first = await Task.WhenAny(helper, _mounted!.Ended, _failure!, signal).ConfigureAwait(false);
        if (first != helper)
        {
            // It may wait for the server, unkillably: only errors free it. What it has attached by then it takes down again.
            await _mounted.AbortAsync().ConfigureAwait(false);
            await _mounted.DisposeAsync().ConfigureAwait(false);
            string[] late = await helper.WaitAsync(HelperTimeout).ConfigureAwait(false);
            if (late[0] == LoopHelper.Done)
            {
                await LoopHelper.RunAsync(LoopHelperCommand.Detach, late[1], _entry.LoopName, "force").ConfigureAwait(false);
            }

            throw new AttachException(
                first == signal ? "interrupted"
                : first == _failure ? $"the server is lost: {(await _failure!.ConfigureAwait(false)).Message}"
                : $"the mount ended before the device was usable: {(await _mounted.Ended.ConfigureAwait(false)).Message}");
        }

        string[] answer = await helper.ConfigureAwait(false);
        if (answer[0] != LoopHelper.Done)
        {
            await _mounted.HideAsync().ConfigureAwait(false);
            throw new AttachException(answer[1]);
        }

        _state = _state with
        {
            Device = answer[1],
            Size = long.Parse(answer[2], System.Globalization.CultureInfo.InvariantCulture),
        };
        _entry.Write(_state);
        await _mounted.HideAsync().ConfigureAwait(false);
        Posix.Rmdir(_entry.MountPoint);
    }

    private async Task ServeAsync(AttachSignals signals, Task<int> signal)
    {
        Task failure = _failure!;
        while (!_done.Task.IsCompleted)
        {
            Task first = await Task.WhenAny(_done.Task, _mounted!.Ended, failure, signal).ConfigureAwait(false);
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
            else if (first == failure)
            {
                // Said once; the device stays, so that whoever uses it gets errors.
                failure = Task.Delay(Timeout.Infinite);
                AttachLog.ServerLost(_logger, _state.Device, ErrorText.OneLine((await _failure!.ConfigureAwait(false)).Message));
            }
            else if (first == _mounted.Ended && !_isDetaching)
            {
                await FinishAsync(await _mounted.Ended.ConfigureAwait(false)).ConfigureAwait(false);
            }
            else if (first == _mounted.Ended)
            {
                await _done.Task.ConfigureAwait(false);
            }
        }

        AttachLog.Detached(_logger, _state.Device, await _done.Task.ConfigureAwait(false));
    }

    /// <summary>Somebody else has detached the device, or aborted the FUSE connection.</summary>
    private async Task FinishAsync(FuseSessionEnd end)
    {
        if (end.Reason == FuseEndReason.Unmounted)
        {
            int result = await _mounted!.FlushAsync().ConfigureAwait(false);
            _done.TrySetResult(result == 0 ? "by somebody else" : $"by somebody else, and the last flush failed: {Errno.Describe(result)}");
            return;
        }

        await DetachAsync(force: true).ConfigureAwait(false);
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
        RequestQueueStatistics statistics = _mounted!.Statistics;
        NbdException? lost = _failure!.IsCompletedSuccessfully ? _failure.Result : null;
        return new AttachStatus
        {
            Attached = _state,
            State = _isDetaching ? "detaching" : lost is null ? "online" : "failed",
            Reason = lost is null ? null : ErrorText.OneLine(lost.Message),
            InFlight = _mounted.InFlight,
            Operations =
            [
                .. Operations.Select(operation => new OperationStatus(
                    operation.Name,
                    statistics.Requests(operation.Operation),
                    statistics.Bytes(operation.Operation),
                    statistics.Errors(operation.Operation))),
            ],
        };
    }

    private async Task<ControlReply> DetachAsync(bool force)
    {
        _isDetaching = true;
        if (force)
        {
            _isForced = true;

            // Before the gate: an earlier, patient turn may be waiting for the server.
            await _mounted!.AbortAsync().ConfigureAwait(false);
        }

        await _gate.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_done.Task.IsCompleted)
            {
                return new ControlReply { Ok = true };
            }

            _isDetaching = true;
            return force ? await TakeDownByForceAsync().ConfigureAwait(false) : await TakeDownAsync().ConfigureAwait(false);
        }
        finally
        {
            _isDetaching = _done.Task.IsCompleted || _isForced;
            _gate.Release();
        }
    }

    private async Task<ControlReply> TakeDownAsync()
    {
        string[] answer = await LoopHelper
            .RunAsync(LoopHelperCommand.Detach, _state.Device, _entry.LoopName, "-").ConfigureAwait(false);
        if (answer[0] != LoopHelper.Done)
        {
            string? lost = _failure!.IsCompletedSuccessfully ? $" (the server is lost: {_failure.Result.Message})" : null;
            return new ControlReply { Message = answer[1] + lost };
        }

        try
        {
            await _mounted!.Ended.WaitAsync(ReleaseTimeout).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            return new ControlReply
            {
                Message = $"{_state.Device}: somebody has opened the device in the last moment and keeps it; it is detached when it is closed",
            };
        }

        int result = _failure!.IsCompleted ? Errno.EIO : await _mounted.FlushAsync().ConfigureAwait(false);
        await _mounted.DisposeAsync().ConfigureAwait(false);
        _done.TrySetResult("as asked");
        return new ControlReply
        {
            Ok = true,
            Message = result == 0 ? null : $"{_state.Device}: the last flush failed: {Errno.Describe(result)}; what was written last may be lost",
        };
    }

    private async Task<ControlReply> TakeDownByForceAsync()
    {
        // Closes /dev/fuse: from here on every request fails at once, also those of our helper.
        await _mounted!.DisposeAsync().ConfigureAwait(false);
        string[] answer = await LoopHelper
            .RunAsync(LoopHelperCommand.Detach, _state.Device, _entry.LoopName, "force").ConfigureAwait(false);
        _done.TrySetResult("by force");
        return new ControlReply
        {
            Ok = answer[0] == LoopHelper.Done,
            Message = answer.Length > 1
                ? $"{string.Join(", ", answer.Skip(1))}: the kernel frees {_state.Device} when that ends"
                : null,
        };
    }
}
